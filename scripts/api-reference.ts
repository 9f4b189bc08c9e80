// SPDX-License-Identifier: Apache-2.0
// Writes docs/api.md from the comments of the .proto file. With --check it writes nothing, and fails if the page is out of date.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  createFileRegistry,
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  ScalarType,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const root = join(import.meta.dirname, "..");
const source = "tokenblacklist/v1/token_blacklist.proto";
const page = join(root, "docs/api.md");

/** Field numbers of descriptor.proto, of which the paths in its source info consist. */
const At = {
  fileMessage: 4,
  fileEnum: 5,
  fileService: 6,
  field: 2,
  nestedMessage: 3,
  nestedEnum: 4,
  oneof: 8,
  method: 2,
  value: 2,
} as const;

/** The path of a declaration in source info: field number, index, field number, index, ... */
type Path = readonly number[];

function loadFile(): DescFile {
  const image = execFileSync(join(root, "node_modules/.bin/buf"), ["build", "proto", "--output", "-"], {
    cwd: root,
  });
  const file = createFileRegistry(fromBinary(FileDescriptorSetSchema, image)).getFile(source);
  if (!file) throw new Error(`proto/${source} is missing`);
  return file;
}

function readComments(file: DescFile): (path: Path) => string {
  const comments = new Map<string, string>();
  for (const { path, leadingComments } of file.proto.sourceCodeInfo?.location ?? []) {
    comments.set(path.join(), leadingComments.replace(/^ /gm, "").trim());
  }
  return (path) => comments.get(path.join()) ?? "";
}

/** The name of a message or enum within the package: `Verdict`, `BlacklistResult.Outcome`. */
function nameOf(type: DescMessage | DescEnum): string {
  return type.typeName.slice(type.file.proto.package.length + 1);
}

/** The anchor that common Markdown renderers generate for a one-word heading. */
function anchorOf(heading: string): string {
  return `#${heading.toLowerCase().replaceAll(".", "")}`;
}

/** Every name that a comment may mention in backquotes, with the anchor of its description. */
function readAnchors(
  messages: DescMessage[],
  enums: DescEnum[],
  services: DescService[],
): Map<string, string> {
  const anchors = new Map<string, string>();
  for (const method of services.flatMap((service) => service.methods)) {
    anchors.set(method.name, anchorOf(method.name));
  }
  for (const message of messages) {
    anchors.set(nameOf(message), anchorOf(nameOf(message)));
    for (const field of message.fields) {
      anchors.set(`${nameOf(message)}.${field.name}`, anchorOf(nameOf(message)));
    }
  }
  for (const type of enums) {
    anchors.set(nameOf(type), anchorOf(nameOf(type)));
    for (const value of type.values) anchors.set(value.name, anchorOf(nameOf(type)));
  }
  return anchors;
}

/** Links the names that a text mentions in backquotes, except the heading `here` under which the text stands. */
function withLinks(text: string, anchors: Map<string, string>, here: string): string {
  return text.replace(/`([\w.]+)`/g, (code, name: string) => {
    const anchor = anchors.get(name);
    return anchor === undefined || anchor === anchorOf(here) ? code : `[${code}](${anchor})`;
  });
}

function typeLink(type: DescMessage | DescEnum): string {
  const name = type.typeName.split(".").at(-1) ?? "";
  return type.file.proto.package === "google.protobuf"
    ? `[${name}](https://protobuf.dev/reference/protobuf/google.protobuf/#${name.toLowerCase()})`
    : `[${nameOf(type)}](${anchorOf(nameOf(type))})`;
}

function typeOf(field: DescField): string {
  const type = field.message ?? field.enum;
  const name = type ? typeLink(type) : ScalarType[field.scalar ?? 0]?.toLowerCase();
  return field.fieldKind === "list" ? `repeated ${name}` : `${name}`;
}

function inputOf({ input, methodKind }: DescMethod): string {
  const isStream = methodKind === "client_streaming" || methodKind === "bidi_streaming";
  return `${isStream ? "stream of " : ""}${typeLink(input)}`;
}

function outputOf({ output, methodKind }: DescMethod): string {
  const isStream = methodKind === "server_streaming" || methodKind === "bidi_streaming";
  return `${isStream ? "stream of " : ""}${typeLink(output)}`;
}

/** A message and the messages declared within it. */
function withNested(message: DescMessage, path: Path): { message: DescMessage; path: Path }[] {
  const nested = message.nestedMessages.flatMap((inner, i) =>
    withNested(inner, [...path, At.nestedMessage, i]),
  );
  return [{ message, path }, ...nested];
}

function table(head: string[], rows: string[][]): string {
  const cell = (text: string) =>
    text.replaceAll("|", "\\|").replaceAll("\n\n", "<br><br>").replaceAll("\n", " ");
  return [head, head.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n");
}

function render(file: DescFile): string {
  const commentAt = readComments(file);
  const messages = file.messages.flatMap((message, i) => withNested(message, [At.fileMessage, i]));
  const enums = [
    ...messages.flatMap(({ message, path }) =>
      message.nestedEnums.map((type, i) => ({ type, path: [...path, At.nestedEnum, i] })),
    ),
    ...file.enums.map((type, i) => ({ type, path: [At.fileEnum, i] })),
  ];
  const anchors = readAnchors(
    messages.map(({ message }) => message),
    enums.map(({ type }) => type),
    file.services,
  );
  const explain = (path: Path, here: string) => withLinks(commentAt(path), anchors, here);

  function renderMethod(method: DescMethod, path: Path): string[] {
    return [
      `### ${method.name}`,
      `\`/${method.parent.typeName}/${method.name}\`: ${inputOf(method)} → ${outputOf(method)}`,
      explain(path, method.name),
    ];
  }

  function renderMessage(message: DescMessage, path: Path): string[] {
    const name = nameOf(message);
    const rows = message.fields.flatMap((field, i) => {
      const oneof = field.oneof;
      const row = [
        `\`${field.name}\``,
        String(field.number),
        oneof ? `${typeOf(field)}, in \`${oneof.name}\`` : typeOf(field),
        explain([...path, At.field, i], name),
      ];
      if (oneof?.fields[0] !== field) return [row];
      const members = oneof.fields.map((member) => `\`${member.name}\``).join(", ");
      const about = explain([...path, At.oneof, message.oneofs.indexOf(oneof)], name);
      return [[`\`${oneof.name}\``, "", `one of ${members}`, about], row];
    });
    return [`### ${name}`, explain(path, name), table(["Field", "Number", "Type", "Meaning"], rows)];
  }

  function renderEnum(type: DescEnum, path: Path): string[] {
    const rows = type.values.map((value, i) => [
      `\`${value.name}\``,
      String(value.number),
      explain([...path, At.value, i], nameOf(type)),
    ]);
    return [`### ${nameOf(type)}`, explain(path, nameOf(type)), table(["Value", "Number", "Meaning"], rows)];
  }

  const blocks = [
    "# API reference",
    `<!-- Generated from proto/${source} by scripts/api-reference.ts. Do not edit. -->`,
    `The gRPC contract, package \`${file.proto.package}\`, as [the .proto file](../proto/${source}) states it.`,
    ...file.services.flatMap((service, i) => [
      `## Service ${service.name}`,
      table(
        ["Method", "Request", "Response"],
        service.methods.map((method) => [
          `[${method.name}](${anchorOf(method.name)})`,
          inputOf(method),
          outputOf(method),
        ]),
      ),
      explain([At.fileService, i], service.name),
      ...service.methods.flatMap((method, j) => renderMethod(method, [At.fileService, i, At.method, j])),
    ]),
    "## Messages",
    ...messages.flatMap(({ message, path }) => renderMessage(message, path)),
    "## Enums",
    ...enums.flatMap(({ type, path }) => renderEnum(type, path)),
  ];
  return `${blocks.join("\n\n")}\n`;
}

function readPage(): string {
  try {
    return readFileSync(page, "utf8");
  } catch {
    return "";
  }
}

const rendered = render(loadFile());
if (!process.argv.includes("--check")) {
  writeFileSync(page, rendered);
} else if (readPage() !== rendered) {
  process.stderr.write(
    "docs/api.md differs from what proto/ says. Run node --import tsx scripts/api-reference.ts and commit what it changes.\n",
  );
  process.exitCode = 1;
}
