/**
 * What a client hears when it applies fields that others own, without forcing. Texts and causes as upstream's.
 */
import { StatusError } from "#apimachinery/status-error.ts";
import { elementText } from "./path-element.ts";
import type { Manager } from "./managers.ts";

/** One field that another manager owns. */
export type Conflict = { readonly manager: Manager; readonly path: readonly string[] };

/** 409 with one cause per field. */
export function applyConflict(conflicts: readonly Conflict[]): StatusError {
  return new StatusError({
    reason: "Conflict",
    code: 409,
    message: messageOf(conflicts),
    details: {
      causes: conflicts.map((conflict) => ({
        reason: "FieldManagerConflict",
        message: `conflict with ${managerText(conflict.manager)}`,
        field: pathText(conflict.path),
      })),
    },
  });
}

function messageOf(conflicts: readonly Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first !== undefined) {
    return `Apply failed with 1 conflict: conflict with ${managerText(first.manager)}: ${pathText(first.path)}`;
  }
  const byManager = new Map<string, string[]>();
  for (const { manager, path } of conflicts) {
    const text = managerText(manager);
    const paths = byManager.get(text) ?? [];
    byManager.set(text, [...paths, `- ${pathText(path)}`]);
  }
  const lines = [...byManager].sort(([a], [b]) => (a < b ? -1 : 1));
  const text = lines.map(([manager, paths]) => [`conflicts with ${manager}:`, ...paths].join("\n"));
  return `Apply failed with ${conflicts.length} conflicts: ${text.join("\n")}`;
}

function managerText(manager: Manager): string {
  const name = JSON.stringify(manager.name);
  const subresource = manager.subresource === "" ? "" : ` with subresource ${JSON.stringify(manager.subresource)}`;
  const version = manager.operation === "Update" ? ` using ${manager.apiVersion}` : "";
  return `${name}${subresource}${version}`;
}

function pathText(path: readonly string[]): string {
  return path.map(elementText).join("");
}
