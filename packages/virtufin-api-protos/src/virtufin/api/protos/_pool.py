"""The descriptor pool in which all generated code of this distribution registers.

Apart, because each generated module imports it.
"""

from google.protobuf import any_pb2, descriptor_pool, timestamp_pb2

POOL = descriptor_pool.DescriptorPool()
for _well_known in (any_pb2, timestamp_pb2):
    POOL.AddSerializedFile(_well_known.DESCRIPTOR.serialized_pb)
