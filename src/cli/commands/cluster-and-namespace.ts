/**
 * Which cluster a command is about, and which of its namespaces.
 */
import { type Arguments, type Flag, textFlag } from "#cli/command.ts";

/** --name, which every command on a cluster has. */
export const nameFlag: Flag = { type: "string", value: "NAME", default: "default", help: "Name of the cluster" };

/** --namespace, which every command on objects has. `help` says whose. */
export function namespaceFlag(help = "Namespace of the objects"): Flag & { readonly type: "string" } {
  return { type: "string", short: "n", value: "NAMESPACE", default: "default", help };
}

/** The cluster that is meant. */
export function clusterOf(args: Arguments): string {
  return textFlag(args, "name") ?? "default";
}

/** The namespace that is meant when an object does not name its own. */
export function namespaceOf(args: Arguments): string {
  return textFlag(args, "namespace") ?? "default";
}
