import { type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Server } from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";

/** Lets tools such as grpcurl ask what this server offers. */
export function addReflection(server: Pick<Server, "addService">, services: readonly DescService[]): void {
  const files = new Map<string, Buffer>();
  for (const { file } of services) collect(file, files);
  const definition = { fileDescriptorProtos: [...files.values()] };
  new ReflectionService({ service: definition } as never).addToServer(server as Server);
}

function collect(file: DescFile, into: Map<string, Buffer>): void {
  if (into.has(file.proto.name)) return;
  for (const dependency of file.dependencies) collect(dependency, into);
  into.set(file.proto.name, Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)));
}
