import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server, ServiceDefinition } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { Health } from "../../gen/grpc/health/v1/health_pb.js";

/** Adds server reflection, so that tools such as grpcurl can describe `services`, health and reflection itself. */
export function addReflection(server: Pick<Server, "addService">, services: readonly DescService[]): void {
  const files = new Map<string, Buffer>();
  for (const { file } of [...services, Health]) collect(file, files);
  const descriptors = [...files.values(), ...reflectionItself().flatMap(filesOf)];
  // The library expects a package definition, but reads only the descriptors, of which one entry may have those of all services.
  new ReflectionService({ offered: { fileDescriptorProtos: descriptors } } as never).addToServer(
    server as Server,
  );
}

/** Adds the encoded descriptors of a proto file and of its imports to the map `into`, by file name. */
function collect(file: DescFile, into: Map<string, Buffer>): void {
  if (into.has(file.proto.name)) return;
  for (const dependency of file.dependencies) collect(dependency, into);
  into.set(file.proto.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
}

/** The definitions of all versions of the reflection service, which the library exposes only by adding them to a server. */
function reflectionItself(): ServiceDefinition[] {
  const definitions: ServiceDefinition[] = [];
  const register = (definition: ServiceDefinition) => definitions.push(definition);
  new ReflectionService({}).addToServer({ addService: register } as unknown as Server);
  return definitions;
}

/** The encoded descriptors of the proto files from which a definition was loaded. */
function filesOf(definition: ServiceDefinition): readonly Buffer[] {
  const [method] = Object.values(definition) as unknown as {
    requestType: { fileDescriptorProtos: Buffer[] };
  }[];
  return method?.requestType.fileDescriptorProtos ?? [];
}
