"""Transport security, with certificates made for the test."""

import grpc
import pytest
import trustme
from grpc import aio

from tests.client.conftest import UNIT
from virtufin.api.client import ApiClient, InvalidInputError, TlsSettings, UnavailableError, Wire

LIST = Wire.packaged()["Gateway.ListServices"]


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
async def serve():
    """Starts servers with given credentials; returns their port."""
    servers = []

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details):
            async def answer(request, context):
                return LIST.response(services=["over-tls"])

            return grpc.unary_unary_rpc_method_handler(
                answer, LIST.request.FromString, LIST.response.SerializeToString
            )

    async def start(certificate, client_authority=None):
        root = client_authority.cert_pem.bytes() if client_authority else None
        credentials = grpc.ssl_server_credentials(
            [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())],
            root_certificates=root,
            require_client_auth=client_authority is not None,
        )
        server = aio.server()
        server.add_generic_rpc_handlers((Handlers(),))
        port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        servers.append(server)
        return port

    yield start
    for server in servers:
        await server.stop(0)


async def test_a_gateway_with_a_trusted_certificate_is_used(authority, serve):
    port = await serve(authority.issue_cert("localhost"))
    tls = TlsSettings(ca=authority.cert_pem.bytes())
    async with ApiClient("localhost", port, tls=tls) as client:
        assert await client.list_services_async() == ["over-tls"]


async def test_pem_files_are_read_when_the_channel_opens(authority, serve, tmp_path):
    port = await serve(authority.issue_cert("localhost"))
    path = tmp_path / "ca.pem"
    client = ApiClient("localhost", port, tls=TlsSettings(ca=path))
    path.write_bytes(authority.cert_pem.bytes())
    async with client:
        assert await client.list_services_async() == ["over-tls"]


async def test_pem_may_be_given_as_text(authority, serve):
    port = await serve(authority.issue_cert("localhost"))
    tls = TlsSettings(ca=authority.cert_pem.bytes().decode())
    async with ApiClient("localhost", port, tls=tls) as client:
        assert await client.list_services_async() == ["over-tls"]


async def test_a_certificate_of_a_stranger_is_refused(authority, serve):
    port = await serve(trustme.CA().issue_cert("localhost"))
    tls = TlsSettings(ca=authority.cert_pem.bytes())
    async with ApiClient("localhost", port, tls=tls) as client:
        with pytest.raises(UnavailableError):
            await client.list_services_async(timeout=5 * UNIT)


async def test_a_server_name_stands_in_for_another_host_name(authority, serve):
    port = await serve(authority.issue_cert("gateway.example"))
    tls = TlsSettings(ca=authority.cert_pem.bytes(), server_name="gateway.example")
    async with ApiClient("127.0.0.1", port, tls=tls) as client:
        assert await client.list_services_async() == ["over-tls"]


async def test_mutual_tls_shows_the_clients_certificate(authority, serve):
    port = await serve(authority.issue_cert("localhost"), client_authority=authority)
    mine = authority.issue_cert("client@example")
    tls = TlsSettings(
        ca=authority.cert_pem.bytes(),
        certificate=mine.cert_chain_pems[0].bytes(),
        key=mine.private_key_pem.bytes(),
    )
    async with ApiClient("localhost", port, tls=tls) as client:
        assert await client.list_services_async() == ["over-tls"]


@pytest.mark.parametrize("name", ["ca", "certificate"])
async def test_a_file_that_is_no_pem_is_named(name, tmp_path):
    path = tmp_path / "other.txt"
    path.write_text("no certificate")
    for value in (path, b"no certificate"):
        tls = TlsSettings(**{name: value}, **({"key": b"-----BEGIN "} if name != "ca" else {}))
        client = ApiClient("localhost", tls=tls)
        with pytest.raises(InvalidInputError, match=f"TlsSettings.{name}.*no PEM"):
            await client.list_services_async()
        await client.close()


async def test_a_file_that_cannot_be_read_is_named_and_nothing_is_stuck(tmp_path):
    client = ApiClient("localhost", tls=TlsSettings(ca=tmp_path / "ca.pem"))
    for _ in range(2):
        with pytest.raises(InvalidInputError, match=r"ca\.pem"):
            await client.list_services_async()
    await client.close()
