/**
 * The event that a command line describes.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Arguments, textFlag, UserError } from "#cli/command.ts";
import type { JsonEvent } from "./event-lines.ts";

const strict = new TextDecoder("utf-8", { fatal: true });

/** Members of the JSON format that say how the rest is to be read. */
const reserved: ReadonlySet<string> = new Set(["specversion", "data"]);

/** In CloudEvents' JSON format. Throws UserError. */
export function newEvent(args: Arguments, nowMs: number): JsonEvent {
  const [type = ""] = args.positionals;
  const subject = textFlag(args, "subject");
  return {
    specversion: "1.0",
    id: textFlag(args, "id") ?? randomUUID(),
    source: textFlag(args, "source") ?? "/nodeless/cli",
    type,
    time: new Date(nowMs).toISOString(),
    ...(subject === undefined ? {} : { subject }),
    ...extensionsOf(args),
    ...dataOf(args),
  };
}

function extensionsOf(args: Arguments): Readonly<Record<string, string>> {
  const given = (args.flags["attribute"] as readonly string[] | undefined) ?? [];
  return Object.fromEntries(
    given.map((text) => {
      const [, name = "", value = ""] = /^([a-z0-9]+)=(.*)$/s.exec(text) ?? [];
      if (name === "")
        throw new UserError(`--attribute wants NAME=VALUE, a name of lower-case letters and digits, not "${text}"`, {
          exitCode: 2,
        });
      if (reserved.has(name))
        throw new UserError(`--attribute ${name} is no attribute that can be chosen`, { exitCode: 2 });
      return [name, value];
    }),
  );
}

/** What is JSON is sent as that, what is other text as text, anything else as bytes; unless the content type says more. */
function dataOf(args: Arguments): Readonly<Record<string, unknown>> {
  const bytes = bytesOf(textFlag(args, "data"));
  const contentType = textFlag(args, "content-type");
  if (bytes === undefined) return contentType === undefined ? {} : { datacontenttype: contentType };
  const text = decode(bytes);
  if (text === undefined)
    return { datacontenttype: contentType ?? "application/octet-stream", data_base64: bytes.toString("base64") };
  const isJson = contentType === undefined ? parses(text) : /[/+]json\b/.test(contentType);
  if (isJson && !parses(text))
    throw new UserError("--data is not the JSON that --content-type says it is", { exitCode: 2 });
  if (isJson) return { datacontenttype: contentType ?? "application/json", data: JSON.parse(text) as unknown };
  return { datacontenttype: contentType ?? "text/plain; charset=utf-8", data: text };
}

function bytesOf(data: string | undefined): Buffer | undefined {
  if (data === undefined || !data.startsWith("@")) return data === undefined ? undefined : Buffer.from(data);
  try {
    return readFileSync(data === "@-" ? 0 : data.slice(1));
  } catch (cause) {
    throw new UserError(`cannot read ${data.slice(1)}: ${(cause as Error).message}`, { cause });
  }
}

function decode(bytes: Buffer): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
