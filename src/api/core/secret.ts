/**
 * Secrets: bytes under keys, of a type that says which keys must be there. As pkg/registry/core/secret/strategy.go.
 */
import type { Secret } from "#api/generated/types/core-v1.ts";
import { setTextDefault } from "#api/defaults.ts";
import type { KindStrategy } from "#api/strategy.ts";
import { validateSecret, validateSecretSize, validateSecretUpdate } from "./validation/keyed-data.ts";

export const secretStrategy: KindStrategy<Secret> = {
  applyDefaults(draft) {
    setTextDefault(draft, "type", "Opaque");
    if (!draft["stringData"]) return;
    // Written as text, kept as bytes: stringData itself is never given back.
    const entries = Object.entries(draft["stringData"] as Readonly<Record<string, string>>);
    const data = Object.fromEntries(entries.map(([key, text]) => [key, Buffer.from(text, "utf8").toString("base64")]));
    draft["data"] = { ...draft["data"], ...data };
    delete draft["stringData"];
  },
  validateSize: validateSecretSize,
  validate: validateSecret,
  validateUpdate: validateSecretUpdate,
  selectableFields: ({ type }) => ({ type: type ?? "" }),
};
