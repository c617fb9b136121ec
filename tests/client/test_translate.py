"""Messages of another layout are translated by field name."""

import pytest
from google.protobuf import descriptor_pb2, text_format

from tests.reflection import make_pool, message_class

# Private, because no gateway of the tests has fields of all these kinds.
from virtufin.api.client._protobuf import compare, translate

Translation = translate.Translation


def message(text):
    """A class `M` with these fields, and `N` and `E` to be used in it."""
    whole = f"""
    name: "m.proto" syntax: "proto3"
    enum_type {{ name: "E" value {{ name: "E_A" number: 0 }} value {{ name: "E_B" number: 2 }} }}
    message_type {{ name: "N" {field("n", 1, "INT32")} }}
    message_type {{ name: "M" {text} }}
    """
    file = text_format.Parse(whole, descriptor_pb2.FileDescriptorProto())
    return message_class(make_pool([file]), "M")


def field(name, number, kind, label="OPTIONAL", of=None):
    named = f'type_name: ".{of}"' if of else ""
    described = f'name: "{name}" number: {number} type: TYPE_{kind} label: LABEL_{label} {named}'
    return f"field {{ {described} }}"


def translated(source, target, **values):
    packaged, gateway = message(source), message(target)
    result = gateway()
    Translation(packaged.DESCRIPTOR, gateway.DESCRIPTOR, strict=True).fill(
        result, packaged(**values)
    )
    return result.f


CASES = {
    "another number": (field("f", 1, "STRING"), field("f", 5, "STRING"), "a", "a"),
    "text for bytes": (field("f", 1, "BYTES"), field("f", 1, "STRING"), b"a", "a"),
    "bytes for text": (field("f", 1, "STRING"), field("f", 1, "BYTES"), "a", b"a"),
    "a number for text": (field("f", 1, "STRING"), field("f", 1, "INT64"), "12", 12),
    "text for a number": (field("f", 1, "INT32"), field("f", 1, "STRING"), 12, "12"),
    "true for text": (field("f", 1, "STRING"), field("f", 1, "BOOL"), "true", True),
    "false for text": (field("f", 1, "STRING"), field("f", 1, "BOOL"), "false", False),
    "text for true": (field("f", 1, "BOOL"), field("f", 1, "STRING"), True, "true"),
    "a wider number": (field("f", 1, "INT32"), field("f", 1, "INT64"), 5, 5),
    "a fraction": (field("f", 1, "INT32"), field("f", 1, "DOUBLE"), 5, 5.0),
    "a name for an enum": (field("f", 1, "ENUM", of="E"), field("f", 1, "STRING"), 2, "E_B"),
    "an enum for a name": (field("f", 1, "STRING"), field("f", 1, "ENUM", of="E"), "E_B", 2),
    "one of many": (field("f", 1, "STRING", "REPEATED"), field("f", 1, "STRING"), ["a"], "a"),
    "many of one": (field("f", 1, "STRING"), field("f", 2, "STRING", "REPEATED"), "a", ["a"]),
    "many": (
        field("f", 1, "STRING", "REPEATED"),
        field("f", 2, "BYTES", "REPEATED"),
        ["a", "b"],
        [b"a", b"b"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_values_keep_their_meaning(case):
    source, target, value, expected = CASES[case]
    result = translated(source, target, f=value)
    assert (list(result) if isinstance(expected, list) else result) == expected


BAD = {
    "a number that does not fit": (field("f", 1, "INT64"), field("f", 1, "INT32"), 2**40),
    "text that is no number": (field("f", 1, "STRING"), field("f", 1, "INT32"), "many"),
    "text that is not true or false": (field("f", 1, "STRING"), field("f", 1, "BOOL"), "maybe"),
    "bytes that are no text": (field("f", 1, "BYTES"), field("f", 1, "STRING"), b"\xff"),
    "several for one": (field("f", 1, "STRING", "REPEATED"), field("f", 1, "STRING"), ["a", "b"]),
    "nothing there": (field("f", 1, "STRING"), field("g", 2, "STRING"), "a"),
    "a message for text": (field("f", 1, "STRING"), field("f", 1, "MESSAGE", of="N"), "a"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_value_that_the_other_layout_cannot_hold_is_an_error(case):
    source, target, value = BAD[case]
    with pytest.raises(translate.CannotTranslateError, match="f"):
        translated(source, target, f=value)


def test_messages_inside_are_translated_too():
    packaged = message(
        field("f", 1, "MESSAGE", of="N") + field("g", 2, "MESSAGE", "REPEATED", of="M")
    )
    gateway = message(
        field("f", 3, "MESSAGE", of="N") + field("g", 4, "MESSAGE", "REPEATED", of="M")
    )
    result = gateway()
    translation = Translation(packaged.DESCRIPTOR, gateway.DESCRIPTOR, strict=True)
    translation.fill(result, packaged(f={"n": 1}, g=[{"f": {"n": 2}}]))
    assert (result.f.n, result.g[0].f.n) == (1, 2)


def test_an_empty_message_stays_set():
    packaged, gateway = (
        message(field("f", 1, "MESSAGE", of="N")),
        message(field("f", 3, "MESSAGE", of="N")),
    )
    result = gateway()
    Translation(packaged.DESCRIPTOR, gateway.DESCRIPTOR, strict=True).fill(result, packaged(f={}))
    assert result.HasField("f")


def test_a_field_that_was_only_renamed_is_found_by_its_number():
    packaged, gateway = message(field("f", 1, "STRING")), message(field("g", 1, "STRING"))
    result = gateway()
    Translation(packaged.DESCRIPTOR, gateway.DESCRIPTOR, strict=True).fill(result, packaged(f="a"))
    assert result.g == "a"
    (difference,) = compare.different_messages(packaged.DESCRIPTOR, gateway.DESCRIPTOR)
    assert difference.gateway == "named g"


def test_a_field_that_only_the_other_layout_has_is_left_alone():
    packaged, gateway = (
        message(field("f", 1, "STRING")),
        message(field("f", 1, "STRING") + field("g", 2, "STRING")),
    )
    (difference,) = compare.different_messages(packaged.DESCRIPTOR, gateway.DESCRIPTOR)
    assert difference.is_addition
    back = packaged()
    Translation(gateway.DESCRIPTOR, packaged.DESCRIPTOR, strict=False).fill(
        back, gateway(f="a", g="b")
    )
    assert back.f == "a"
    assert back == packaged(f="a")
