# SPDX-License-Identifier: Apache-2.0
"""externalscaler.proto with the official protobuf and grpc libraries: messages, a stub, and what a server registers."""
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DOUBLE, INT64, BOOL, STRING, MESSAGE = 1, 3, 8, 9, 11
SERVICE = "externalscaler.ExternalScaler"
METHODS = {  # name: (request, response, response is a stream)
    "IsActive": ("ScaledObjectRef", "IsActiveResponse", False),
    "StreamIsActive": ("ScaledObjectRef", "IsActiveResponse", True),
    "GetMetricSpec": ("ScaledObjectRef", "GetMetricSpecResponse", False),
    "GetMetrics": ("GetMetricsRequest", "GetMetricsResponse", False),
    "StreamMetricSpec": ("ScaledObjectRef", "GetMetricSpecResponse", True),
}


def file_descriptor():
    f = descriptor_pb2.FileDescriptorProto(name="externalscaler.proto", package="externalscaler", syntax="proto3")

    def message(name, *fields):
        m = f.message_type.add(name=name)
        for number, (field, kind, *of) in enumerate(fields, 1):
            repeated = bool(of) and of[-1] == "*"
            m.field.add(name=field, number=number, type=kind, label=3 if repeated else 1, json_name=field,
                        type_name=".externalscaler." + of[0] if kind == MESSAGE else None)
        return m

    ref = message("ScaledObjectRef", ("name", STRING), ("namespace", STRING),
                  ("scalerMetadata", MESSAGE, "ScaledObjectRef.ScalerMetadataEntry", "*"))
    entry = ref.nested_type.add(name="ScalerMetadataEntry")
    entry.options.map_entry = True
    for number, field in enumerate(("key", "value"), 1):
        entry.field.add(name=field, number=number, type=STRING, label=1, json_name=field)
    message("IsActiveResponse", ("result", BOOL))
    message("GetMetricSpecResponse", ("metricSpecs", MESSAGE, "MetricSpec", "*"))
    message("MetricSpec", ("metricName", STRING), ("targetSize", INT64), ("targetSizeFloat", DOUBLE))
    message("GetMetricsRequest", ("scaledObjectRef", MESSAGE, "ScaledObjectRef"), ("metricName", STRING))
    message("GetMetricsResponse", ("metricValues", MESSAGE, "MetricValue", "*"))
    message("MetricValue", ("metricName", STRING), ("metricValue", INT64), ("metricValueFloat", DOUBLE))
    service = f.service.add(name="ExternalScaler")
    for name, (takes, gives, stream) in METHODS.items():
        service.method.add(name=name, input_type=".externalscaler." + takes, output_type=".externalscaler." + gives,
                           server_streaming=stream or None)
    return f


POOL = descriptor_pool.DescriptorPool()
POOL.Add(file_descriptor())
FACTORY = message_factory.MessageFactory(POOL)


def message(name):
    return FACTORY.GetPrototype(POOL.FindMessageTypeByName("externalscaler." + name))


class Stub:
    def __init__(self, channel):
        for name, (takes, gives, stream) in METHODS.items():
            make = channel.unary_stream if stream else channel.unary_unary
            setattr(self, name, make(f"/{SERVICE}/{name}", request_serializer=message(takes).SerializeToString,
                                     response_deserializer=message(gives).FromString))


def handler(servicer):
    """For grpc.Server.add_generic_rpc_handlers; methods that servicer has not are UNIMPLEMENTED."""
    rpcs = {}
    for name, (takes, gives, stream) in METHODS.items():
        if hasattr(servicer, name):
            make = grpc.unary_stream_rpc_method_handler if stream else grpc.unary_unary_rpc_method_handler
            rpcs[name] = make(getattr(servicer, name), request_deserializer=message(takes).FromString,
                              response_serializer=message(gives).SerializeToString)
    return grpc.method_handlers_generic_handler(SERVICE, rpcs)


def ref(name="web", namespace="default", **metadata):
    return message("ScaledObjectRef")(name=name, namespace=namespace, scalerMetadata=metadata)
