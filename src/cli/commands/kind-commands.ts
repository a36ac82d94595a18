/**
 * Commands that kinds with words of their own have alike: `fn list` is `get functions.nodeless.dev`, `repo delete site` deletes what belongs to it too.
 */
import type { GroupVersionResource } from "#apimachinery/meta.ts";
import type { Command, Flag } from "#cli/command.ts";
import { namespaceOf } from "./cluster-and-namespace.ts";
import { showObjects } from "./objects.ts";
import { withClient, withTransport } from "./with-transport.ts";

/** A kind, and how commands call it. */
export type KindWords = {
  /** What its commands begin with: "fn". */
  readonly word: string;
  /** "Function". */
  readonly kind: string;
  readonly resource: GroupVersionResource;
  /** --name and --namespace. */
  readonly place: Readonly<Record<string, Flag>>;
};

export function listCommand({ word, resource, place }: KindWords, summary: string): Command {
  const name = `${resource.resource}.${resource.group}`;
  return {
    name: `${word} list`,
    aliases: [`${word} ls`],
    usage: "",
    summary,
    maxPositionals: 0,
    flags: {
      ...place,
      "all-namespaces": { type: "boolean", short: "A", help: "In all namespaces" },
      output: { type: "string", short: "o", value: "FORMAT", help: "wide, json or yaml" },
    },
    run: (args, context) =>
      withTransport(args, context, (transport) => showObjects(transport, { ...args, positionals: [name] }, context)),
  };
}

export function deleteCommand({ word, kind, resource, place }: KindWords, summary: string): Command {
  return {
    name: `${word} delete`,
    aliases: [`${word} rm`],
    usage: "NAME…",
    summary,
    minPositionals: 1,
    flags: place,
    run: (args, context) =>
      withClient(args, context, async (client) => {
        for (const name of args.positionals) {
          const ref = { resource, namespace: namespaceOf(args), name };
          await client.delete(ref, { propagationPolicy: "Background" });
          context.terminal.print(`${kind} ${name} is deleted.`);
        }
        return 0;
      }),
  };
}
