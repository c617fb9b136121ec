"""A message with every kind of field, random ones of it, and what a reply of one should be."""

import math
from datetime import timezone

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies

_SCALARS = [
    "DOUBLE",
    "FLOAT",
    "INT32",
    "INT64",
    "UINT32",
    "UINT64",
    "SINT32",
    "SINT64",
    "FIXED32",
    "FIXED64",
    "SFIXED32",
    "SFIXED64",
    "BOOL",
    "STRING",
    "BYTES",
]
_MAP_KEYS = ["INT32", "INT64", "UINT64", "BOOL", "STRING"]
IN_ONEOF = "or_"
"""The beginning of the names of a oneof's members."""

_WELL_KNOWN = [
    "Timestamp",
    "Duration",
    "Struct",
    "Value",
    "ListValue",
    "FieldMask",
    "Any",
    "Empty",
    "DoubleValue",
    "FloatValue",
    "Int64Value",
    "UInt64Value",
    "Int32Value",
    "UInt32Value",
    "BoolValue",
    "StringValue",
    "BytesValue",
]
_OPTIONAL, _REPEATED = 1, 3


def is_repeated(field):
    """Returns whether a field holds several values, in every supported version of protobuf."""
    if hasattr(field, "is_repeated"):
        return field.is_repeated
    return field.label == FieldDescriptor.LABEL_REPEATED


def file():
    """The text of `kinds.Kinds` and a service that echoes it."""
    proto = descriptor_pb2.FileDescriptorProto(name="kinds.proto", package="kinds", syntax="proto3")
    proto.dependency.extend(
        f"google/protobuf/{name}.proto"
        for name in ("any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers")
    )
    shade = proto.enum_type.add(name="Shade")
    for number, name in enumerate(("SHADE_UNSPECIFIED", "SHADE_DARK", "SHADE_LIGHT")):
        shade.value.add(name=name, number=number)
    message = proto.message_type.add(name="Kinds")
    for number, scalar in enumerate(_SCALARS, 1):
        kind = getattr(FieldDescriptor, f"TYPE_{scalar}")
        name = scalar.lower()
        message.field.add(name=f"a_{name}", number=number, type=kind, label=_OPTIONAL)
        message.field.add(name=f"some_{name}", number=100 + number, type=kind, label=_REPEATED)
        message.field.add(
            name=f"maybe_{name}",
            number=200 + number,
            type=kind,
            label=_OPTIONAL,
            proto3_optional=True,
            oneof_index=number,
        )
        message.field.add(
            name=f"{IN_ONEOF}{name}", number=300 + number, type=kind, label=_OPTIONAL, oneof_index=0
        )
        _map(message, f"by_text_{name}", 400 + number, "STRING", kind)
    message.oneof_decl.add(name="choice")
    for scalar in _SCALARS:
        message.oneof_decl.add(name=f"_maybe_{scalar.lower()}")
    for number, key in enumerate(_MAP_KEYS):
        _map(message, f"by_{key.lower()}", 500 + number, key, FieldDescriptor.TYPE_INT32)
    for number, name in enumerate(["Kinds", "Shade", *_WELL_KNOWN]):
        package = ".kinds" if name in ("Kinds", "Shade") else ".google.protobuf"
        kind = FieldDescriptor.TYPE_ENUM if name == "Shade" else FieldDescriptor.TYPE_MESSAGE
        described = {"type": kind, "type_name": f"{package}.{name}"}
        lower = name.lower()
        message.field.add(name=f"a_{lower}", number=600 + number, label=_OPTIONAL, **described)
        message.field.add(name=f"some_{lower}", number=700 + number, label=_REPEATED, **described)
        message.field.add(
            name=f"{IN_ONEOF}{lower}",
            number=800 + number,
            label=_OPTIONAL,
            oneof_index=0,
            **described,
        )
        _map(message, f"by_text_{lower}", 900 + number, "STRING", kind, f"{package}.{name}")
    service = proto.service.add(name="Echo")
    service.method.add(name="Echo", input_type=".kinds.Kinds", output_type=".kinds.Kinds")
    return proto


def _map(message, name, number, key, kind, type_name=None):
    entry = "".join(part.capitalize() for part in name.split("_")) + "Entry"
    nested = message.nested_type.add(name=entry)
    nested.options.map_entry = True
    nested.field.add(
        name="key", number=1, type=getattr(FieldDescriptor, f"TYPE_{key}"), label=_OPTIONAL
    )
    nested.field.add(name="value", number=2, type=kind, type_name=type_name, label=_OPTIONAL)
    message.field.add(
        name=name,
        number=number,
        type=FieldDescriptor.TYPE_MESSAGE,
        type_name=f".kinds.Kinds.{entry}",
        label=_REPEATED,
    )


# Random messages

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_TEXT = strategies.text(strategies.characters(exclude_categories=("Cs",)), max_size=8)
_JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: (
        strategies.lists(inner, max_size=2) | strategies.dictionaries(_TEXT, inner, max_size=2)
    ),
    max_leaves=4,
)


def scalars(descriptor):
    """Values of a scalar field."""
    kind = descriptor.cpp_type
    if kind in _INTEGERS:
        return strategies.integers(*_INTEGERS[kind])
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return strategies.integers(0, 3)  # The last has no name.
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return strategies.booleans()
    if kind == FieldDescriptor.CPPTYPE_FLOAT:
        # The largest are written rounded up by protobuf's JSON, and then refused by it.
        finite = strategies.floats(-(2.0**127), 2.0**127, width=32)
        return finite | strategies.sampled_from([math.nan, math.inf, -math.inf])
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return strategies.floats()
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return strategies.binary(max_size=8)
    return _TEXT


@strategies.composite
def messages(draw, cls, depth=2):
    """Random messages of a class; a few fields of each are set."""
    message = cls()
    fields = [
        field
        for field in cls.DESCRIPTOR.fields
        if depth or field.message_type is None or not _holds(field, cls.DESCRIPTOR)
    ]
    for field in draw(strategies.lists(strategies.sampled_from(fields), max_size=6)):
        _fill(draw, message, field, depth)
    return message


def _holds(field, message):
    kind = field.message_type
    if kind.GetOptions().map_entry:
        kind = kind.fields_by_name["value"].message_type
    return kind is not None and kind.full_name == message.full_name


def _fill(draw, message, field, depth):
    name, kind = field.name, field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        keys, values = (kind.fields_by_name[part] for part in ("key", "value"))
        for key in draw(strategies.lists(scalars(keys), max_size=2)):
            if values.message_type is None:
                getattr(message, name)[key] = draw(scalars(values))
            else:
                _fill_message(draw, getattr(message, name)[key], depth)
    elif is_repeated(field):
        for _ in range(draw(strategies.integers(1, 2))):
            if kind is None:
                getattr(message, name).append(draw(scalars(field)))
            else:
                _fill_message(draw, getattr(message, name).add(), depth)
    elif kind is None:
        setattr(message, name, draw(scalars(field)))
    else:
        getattr(message, name).SetInParent()
        _fill_message(draw, getattr(message, name), depth)


def _fill_message(draw, message, depth):
    name = message.DESCRIPTOR.name
    full_name = message.DESCRIPTOR.full_name
    if name == "Timestamp":
        message.seconds = draw(strategies.integers(-62135596800, 253402300799))
        message.nanos = draw(_nanos())
    elif name == "Duration":
        message.seconds = draw(strategies.integers(-315576000000, 315576000000))
        message.nanos = draw(_nanos()) * (-1 if message.seconds < 0 else 1)
        if abs(message.seconds) == 315576000000:
            message.nanos = 0
    elif name == "Struct":
        message.update(draw(strategies.dictionaries(_TEXT, _JSON, max_size=2)))
    elif name == "ListValue":
        message.extend(draw(strategies.lists(_JSON, max_size=2)))
    elif name == "Value":
        _fill_value(message, draw(_JSON))
    elif name == "FieldMask":
        path = strategies.from_regex(r"[a-z]{1,3}(_[a-z]{1,3}){0,2}", fullmatch=True)
        message.paths.extend(draw(strategies.lists(path, max_size=2)))
    elif name == "Any":
        pool = message.DESCRIPTOR.file.pool
        _fill_any(draw, message, pool, depth)
    elif full_name.startswith("google.protobuf."):
        for field in message.DESCRIPTOR.fields:
            setattr(message, field.name, draw(scalars(field)))
    else:
        message.CopyFrom(draw(messages(type(message), max(depth - 1, 0))))


def _nanos():
    whole = strategies.integers(0, 999_999)
    return whole.map(lambda value: value * 1000) | strategies.integers(0, 999_999_999)


def _fill_value(message, value):
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, float):
        message.number_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, list):
        message.list_value.SetInParent()
        message.list_value.extend(value)
    else:
        message.struct_value.SetInParent()
        message.struct_value.update(value)


def _fill_any(draw, message, pool, depth):
    name = draw(strategies.sampled_from(["kinds.Kinds", "google.protobuf.Duration"]))
    held = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()
    _fill_message(draw, held, min(depth, 1))
    message.Pack(held)


# What a reply should be, from the message that a stub gives


def expected(message):
    """The reply of a message, field by field as its class has it."""
    result = {}
    proto = descriptor_pb2.DescriptorProto()
    message.DESCRIPTOR.CopyToProto(proto)
    optional = {field.name for field in proto.field if field.proto3_optional}
    for field in message.DESCRIPTOR.fields:
        name = field.name
        in_oneof = field.containing_oneof is not None and name not in optional
        if field.has_presence and not message.HasField(name):
            if not in_oneof:
                result[name] = None
            continue
        result[name] = _expected_field(message, field)
    return result


def _expected_field(message, field):
    value, kind = getattr(message, field.name), field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        return {_key(key): _expected_one(value[key], entry) for key in value}
    if is_repeated(field):
        return [_expected_one(item, field) for item in value]
    return _expected_one(value, field)


def _key(key):
    return str(key).lower() if isinstance(key, bool) else str(key)


def _expected_one(value, field):
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return value if field.message_type is None else expected_message(value)


def expected_message(message):
    """The Python value of any message."""
    name = message.DESCRIPTOR.name
    if name == "Timestamp":
        exact = message.nanos % 1000 == 0
        return message.ToDatetime(timezone.utc) if exact else message.ToJsonString()
    if name == "Duration":
        return message.ToTimedelta() if message.nanos % 1000 == 0 else message.ToJsonString()
    if name == "Struct":
        return {key: expected_message(value) for key, value in message.fields.items()}
    if name == "ListValue":
        return [expected_message(value) for value in message.values]
    if name == "Value":
        kind = message.WhichOneof("kind")
        value = getattr(message, kind)
        if kind == "null_value":
            return None
        return value if not hasattr(value, "DESCRIPTOR") else expected_message(value)
    if name == "FieldMask":
        return list(message.paths)
    if name == "Any":
        return _expected_any(message)
    if message.DESCRIPTOR.full_name.startswith("google.protobuf."):
        return message.value if message.DESCRIPTOR.fields else {}
    return expected(message)


def _expected_any(message):
    pool = message.DESCRIPTOR.file.pool
    held = message_factory.GetMessageClass(pool.FindMessageTypeByName(message.TypeName()))()
    message.Unpack(held)
    value = expected_message(held)
    value = value if isinstance(value, dict) else {"value": value}
    return {"@type": message.type_url, **value}
