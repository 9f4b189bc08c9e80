import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server, ServiceDefinition } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";

/**
 * Lets tools such as grpcurl ask what this server offers: `services`, and what every server here has beside them, health and
 * reflection itself.
 */
export function addReflection(server: Pick<Server, "addService">, services: readonly DescService[]): void {
  const files = new Map<string, Buffer>();
  for (const { file } of [...services, Health]) collect(file, files);
  const offered = [...files.values(), ...reflectionItself().flatMap(filesOf)];
  new ReflectionService({ offered: { fileDescriptorProtos: offered } } as never).addToServer(
    server as Server,
  );
}

function collect(file: DescFile, into: Map<string, Buffer>): void {
  if (into.has(file.proto.name)) return;
  for (const dependency of file.dependencies) collect(dependency, into);
  into.set(file.proto.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
}

/** The definitions of all versions of reflection: the library has no other way to tell them than to register them. */
function reflectionItself(): ServiceDefinition[] {
  const definitions: ServiceDefinition[] = [];
  const register = (definition: ServiceDefinition) => definitions.push(definition);
  new ReflectionService({}).addToServer({ addService: register } as unknown as Server);
  return definitions;
}

/** The proto files that a definition was loaded from. */
function filesOf(definition: ServiceDefinition): readonly Buffer[] {
  const [method] = Object.values(definition) as unknown as {
    requestType: { fileDescriptorProtos: Buffer[] };
  }[];
  return method?.requestType.fileDescriptorProtos ?? [];
}
