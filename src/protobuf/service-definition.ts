import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** Stands for a request that cannot be decoded, so that our code can refuse it: if decoding threw, grpc-js would answer INTERNAL. */
export const MALFORMED = Symbol("malformed request");

/** The names of a service's unary methods, as the generated code spells them. */
export type UnaryMethodName<S extends DescService> = {
  [K in keyof S["method"]]: S["method"][K] extends DescMethodUnary ? K : never;
}[keyof S["method"]] &
  string;

/** The names of a service's streaming methods. */
export type StreamMethodName<S extends DescService> = Exclude<keyof S["method"] & string, UnaryMethodName<S>>;

/** The request of the unary method `K`. */
export type InputOf<S extends DescService, K extends UnaryMethodName<S>> =
  S["method"][K] extends DescMethodUnary<infer I, DescMessage> ? MessageShape<I> : never;

/** What a handler of the unary method `K` returns: the response, or the fields to create it from. */
export type OutputOf<S extends DescService, K extends UnaryMethodName<S>> =
  S["method"][K] extends DescMethodUnary<DescMessage, infer O> ? MessageInitShape<O> : never;

/** The grpc-js definition of a protobuf-es service. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

/** The grpc-js definition of a method, for clients and services. */
export function methodDefinition<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  const { input, output, methodKind } = method;
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    originalName: method.localName,
    requestStream: methodKind === "client_streaming" || methodKind === "bidi_streaming",
    responseStream: methodKind === "server_streaming" || methodKind === "bidi_streaming",
    requestSerialize: (message) => encode(input, message),
    requestDeserialize(bytes) {
      try {
        return decode(input, bytes);
      } catch {
        return MALFORMED as unknown as MessageShape<I>;
      }
    },
    // Responses of our service are passed to grpc-js already encoded; health passes messages.
    responseSerialize: (answer: object) => (Buffer.isBuffer(answer) ? answer : encode(output, answer)),
    responseDeserialize: (bytes) => decode(output, bytes),
  };
}

/** Encodes a message. `value` is the message, or the fields to create it from. */
export function encode(schema: DescMessage, value: object): Buffer {
  const message = "$typeName" in value ? value : create(schema, value as MessageInitShape<DescMessage>);
  const bytes = toBinary(schema, message as MessageShape<DescMessage>);
  // grpc-js needs a Buffer. This is a view of the bytes, not a copy.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decode<S extends DescMessage>(schema: S, bytes: Buffer): MessageShape<S> {
  // Otherwise unknown fields would be kept, each as an object many times its size on the wire.
  return fromBinary(schema, bytes, { readUnknownFields: false });
}
