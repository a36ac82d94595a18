/**
 * The match conditions of webhooks, in CEL.
 */
import { CelProgram } from "#apimachinery/cel/program.ts";
import { DYN, type StaticType } from "#apimachinery/cel/static-types.ts";
import { fromJson } from "#apimachinery/cel/json-values.ts";
import type { Json } from "#apimachinery/meta.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { requestOf } from "./admission-request.ts";

const names: ReadonlyMap<string, StaticType> = new Map([
  ["object", DYN],
  ["oldObject", DYN],
  ["request", DYN],
]);

/** Whether all conditions hold. One that does not hold counts more than one that fails. */
export function conditionsHold(
  conditions: readonly { readonly name?: string; readonly expression?: string }[],
  attributes: AdmissionAttributes,
): boolean | Error {
  const value = (object: unknown): ReturnType<typeof fromJson> => fromJson((object ?? null) as Json);
  const given = new Map([
    ["object", value(attributes.object)],
    ["oldObject", value(attributes.oldObject)],
    ["request", value(requestOf(attributes))],
  ]);
  let failed: Error | undefined;
  for (const { name = "", expression = "" } of conditions) {
    try {
      const result = new CelProgram(expression, names).run(given).value;
      if (result === false) return false;
      if (result instanceof Error) throw result;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      failed ??= new Error(`match condition ${JSON.stringify(name)} failed: ${why}`);
    }
  }
  return failed ?? true;
}
