/**
 * `nodeless fn invoke`: a request to a function, and its answer.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { type FunctionObject, functions } from "#api/nodeless/function.ts";
import type { Client } from "#client/client.ts";
import { type Arguments, type Command, textFlag, UserError } from "#cli/command.ts";
import { clusterOf, namespaceOf } from "#cli/commands/cluster-and-namespace.ts";
import { addressOf, trafficOf } from "#cli/functions/function-traffic.ts";
import { functionPlace, withFunctions } from "./where-functions-are.ts";

const newline = 0x0a;

export const invokeFunction: Command = {
  name: "fn invoke",
  usage: "NAME",
  summary: "Ask a function and print its answer",
  details: ["Ends with 1 when the answer's status is 400 or more."],
  examples: ["fn invoke hello", "fn invoke hello --path /user/7 --data '{\"a\":1}'"],
  minPositionals: 1,
  maxPositionals: 1,
  flags: {
    ...functionPlace,
    method: { type: "string", short: "X", value: "METHOD", help: "GET, or POST with --data" },
    path: { type: "string", value: "PATH", default: "/", help: "Path with query" },
    header: { type: "string", short: "H", value: "NAME:VALUE", multiple: true, help: "A header" },
    data: {
      type: "string",
      short: "d",
      value: "TEXT",
      help: "The body; @FILE for a file's content, @- for standard input",
    },
    tag: { type: "string", value: "TAG", help: "The revision with this tag" },
    include: { type: "boolean", short: "i", help: "Print status and headers too" },
  },
  async run(args, context) {
    const { machine, terminal } = context;
    const cluster = clusterOf(args);
    const url = await withFunctions(args, context, (client) => urlOf(client, args));
    const body = bodyOf(textFlag(args, "data"));
    const method = (textFlag(args, "method") ?? (body === undefined ? "GET" : "POST")).toUpperCase();
    // Known here, so that its lines can be found in the log.
    const headers = { "x-request-id": randomUUID(), ...headersOf(args) };
    const answer = await machine.functions.ask(cluster, { url, method, headers, body });
    if (args.flags["include"] === true)
      await terminal.write(
        Buffer.from(
          [
            `HTTP/1.1 ${answer.status}`,
            `x-request-id: ${headers["x-request-id"]}`,
            ...answer.headers.map(([name, value]) => `${name}: ${value}`),
            "",
            "",
          ].join("\n"),
        ),
      );
    let last = newline;
    for await (const chunk of answer.body) {
      await terminal.write(chunk);
      last = chunk.at(-1) ?? last;
    }
    // The next prompt is not to stand in the answer; whoever reads it by a program gets it as it is.
    if (terminal.isInteractive && last !== newline) terminal.print("");
    return answer.status < 400 ? 0 : 1;
  },
};

async function urlOf(client: Client, args: Arguments): Promise<string> {
  const [name = ""] = args.positionals;
  const namespace = namespaceOf(args);
  const fn = await client.get<FunctionObject>({ resource: functions, namespace, name });
  const tag = textFlag(args, "tag");
  const traffic = tag === undefined ? [] : await trafficOf(client, fn);
  return new URL(textFlag(args, "path") ?? "/", addressOf(fn, { traffic, tag })).href;
}

function headersOf(args: Arguments): Readonly<Record<string, string>> {
  const given = (args.flags["header"] as readonly string[] | undefined) ?? [];
  return Object.fromEntries(
    given.map((text) => {
      const colon = text.indexOf(":");
      if (colon < 1) throw new UserError(`--header wants NAME:VALUE, not "${text}"`, { exitCode: 2 });
      return [text.slice(0, colon), text.slice(colon + 1).trim()];
    }),
  );
}

function bodyOf(data: string | undefined): Uint8Array | undefined {
  if (data === undefined) return undefined;
  if (!data.startsWith("@")) return Buffer.from(data);
  return readFileSync(data === "@-" ? 0 : data.slice(1));
}
