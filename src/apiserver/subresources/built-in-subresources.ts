/**
 * The table of subresources that have a handler of their own.
 */
import type { SubresourceHandler } from "#apiserver/handlers/handler-parts.ts";
import { handleBinding } from "./binding.ts";
import { handleEviction } from "./eviction.ts";

/** By "GROUP/RESOURCE/SUBRESOURCE". */
export const builtInSubresources: ReadonlyMap<string, SubresourceHandler> = new Map([
  ["/bindings", handleBinding],
  ["/pods/binding", handleBinding],
  ["/pods/eviction", handleEviction],
]);
