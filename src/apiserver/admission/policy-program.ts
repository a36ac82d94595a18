/**
 * The expressions of an admission policy, compiled, and what they say of a write.
 */
import { CelProgram } from "#apimachinery/cel/program.ts";
import { DYN, objectType, type StaticType } from "#apimachinery/cel/static-types.ts";
import { CelSyntaxError, describeProblem } from "#apimachinery/cel/syntax.ts";
import { type CelMap, type CelValue, CelError, toJson } from "#apimachinery/cel/values.ts";
import { fromJson } from "#apimachinery/cel/json-values.ts";
import type { Json, KubeObject } from "#apimachinery/meta.ts";
import type {
  MutatingAdmissionPolicySpec,
  ValidatingAdmissionPolicySpec,
} from "#api/generated/types/admissionregistration-v1.ts";
import type { Namespace } from "#api/generated/types/core-v1.ts";
import type { AdmissionAttributes } from "#apiserver/admission.ts";
import { requestOf } from "./admission-request.ts";

/** What all expressions of a policy may cost for one write, and those of its match conditions. */
const COST_BUDGET = 10_000_000;
const CONDITIONS_BUDGET = 2_500_000;
const MAX_MESSAGE_BYTES = 5 * 1024;

/** What an expression could not be, or gave: a denial with its message, or an error that the failure policy decides on. */
export type Decision = {
  readonly kind: "deny" | "error";
  readonly message: string;
  readonly reason: string | undefined;
};

/** Policies of both kinds. */
export type PolicySpec = Omit<ValidatingAdmissionPolicySpec, "validations"> &
  Pick<ValidatingAdmissionPolicySpec, "validations"> &
  Pick<MutatingAdmissionPolicySpec, "mutations">;

type Names = ReadonlyMap<string, CelValue>;
type Validation = {
  readonly program: CelProgram;
  readonly message: CelProgram | undefined;
  readonly text: string;
  readonly reason: string | undefined;
};

/** A policy that is ready to run. */
export class PolicyProgram {
  readonly #conditions: readonly { readonly name: string; readonly program: CelProgram }[];
  readonly #variables: ReadonlyMap<string, CelProgram>;
  readonly #validations: readonly Validation[];
  readonly #mutations: readonly { readonly type: string; readonly program: CelProgram }[];

  /** Throws an Error that says which expression is wrong. */
  constructor(spec: PolicySpec) {
    const base = new Map<string, StaticType>(
      ["object", "oldObject", "request", "namespaceObject"].map((name) => [name, DYN]),
    );
    if (spec.paramKind !== undefined) base.set("params", DYN);
    this.#conditions = (spec.matchConditions ?? []).map(({ name, expression }) => ({
      name: name ?? "",
      program: compile(expression ?? "", base),
    }));
    const types: Record<string, StaticType> = {};
    const names = new Map([...base, ["variables", objectType(types)] as const]);
    const variables = new Map<string, CelProgram>();
    for (const { name, expression } of spec.variables ?? []) {
      const program = compile(expression ?? "", names);
      variables.set(name ?? "", program);
      types[name ?? ""] = program.checked.type;
    }
    this.#variables = variables;
    this.#mutations = (spec.mutations ?? []).map(({ patchType, jsonPatch, applyConfiguration }) => ({
      type: patchType,
      program: compile(jsonPatch?.expression ?? applyConfiguration?.expression ?? "", names),
    }));
    this.#validations = (spec.validations ?? []).map(({ expression, message = "", messageExpression, reason }) => ({
      program: compile(expression, names),
      message: messageExpression ? compile(messageExpression, names) : undefined,
      text: message.trim() === "" ? `failed expression: ${expression.trim()}` : message.trim(),
      reason,
    }));
  }

  /** What speaks against the write. */
  decide(
    attributes: AdmissionAttributes,
    namespace: Namespace | undefined,
    params: KubeObject | null,
  ): readonly Decision[] {
    const given = namesOf(attributes, namespace, params);
    const matched = this.#matches(given);
    if (matched !== true) return matched === false ? [] : [matched];
    const names = new Map(given);
    names.set("variables", new LazyVariables(this.#variables, names));
    let budget = COST_BUDGET;
    return this.#validations.flatMap(({ program, message, text, reason }) => {
      if (budget < 0)
        return [
          failure("validation failed due to running out of cost budget, no further validation rules will be run"),
        ];
      const { value, cost } = program.run(names);
      budget -= cost;
      if (value === true) return [];
      if (value instanceof Error) return [failure(`expression '${program.text}' resulted in error: ${value.message}`)];
      return [{ kind: "deny" as const, message: messageOf(message, names) ?? text, reason }];
    });
  }

  /** The object as the policy wants it; `change` makes of an object what an expression gave. */
  mutate(
    attributes: AdmissionAttributes,
    namespace: Namespace | undefined,
    params: KubeObject | null,
    change: (object: KubeObject, type: string, value: Json) => KubeObject,
  ): KubeObject | undefined | Error {
    const matched = this.#matches(namesOf(attributes, namespace, params));
    if (matched !== true) return matched === false ? attributes.object : new Error(matched.message);
    let { object } = attributes;
    for (const { type, program } of this.#mutations) {
      const names = new Map(namesOf({ ...attributes, object }, namespace, params));
      names.set("variables", new LazyVariables(this.#variables, names));
      const { value } = program.run(names);
      if (value instanceof Error) return new Error(`expression '${program.text}' resulted in error: ${value.message}`);
      if (object !== undefined) object = change(object, type, toJson(value));
    }
    return object;
  }

  /** Whether all conditions hold. One that does not hold counts more than one that fails. */
  #matches(given: Names): boolean | Decision {
    let failed: Decision | undefined;
    for (const { name, program } of this.#conditions) {
      const { value } = program.run(given, CONDITIONS_BUDGET);
      if (value === false) return false;
      if (value instanceof Error)
        failed ??= failure(`match condition ${JSON.stringify(name)} failed: ${value.message}`);
    }
    return failed ?? true;
  }
}

/** The variables of a policy, each evaluated when it is first asked for. */
class LazyVariables implements CelMap {
  readonly isMap = true;
  readonly #programs: ReadonlyMap<string, CelProgram>;
  readonly #names: Names;
  readonly #known = new Map<string, CelValue | Error>();

  constructor(programs: ReadonlyMap<string, CelProgram>, names: Names) {
    this.#programs = programs;
    this.#names = names;
  }

  get size(): number {
    return this.#programs.size;
  }

  get(key: CelValue): CelValue | undefined {
    return this.field(String(key));
  }

  keys(): readonly CelValue[] {
    return [...this.#programs.keys()];
  }

  field(name: string): CelValue | undefined {
    const program = this.#programs.get(name);
    if (program === undefined) return undefined;
    let value = this.#known.get(name);
    if (value === undefined) {
      ({ value } = program.run(this.#names));
      this.#known.set(name, value);
    }
    if (value instanceof Error)
      throw new CelError(`composited variable ${JSON.stringify(name)} fails to evaluate: ${value.message}`);
    return value;
  }
}

function messageOf(program: CelProgram | undefined, names: Names): string | undefined {
  const value = program?.run(names).value;
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  return text === "" || text.includes("\n") || Buffer.byteLength(text) > MAX_MESSAGE_BYTES ? undefined : text;
}

function compile(text: string, names: ReadonlyMap<string, StaticType>): CelProgram {
  try {
    return new CelProgram(text, names);
  } catch (error) {
    if (!(error instanceof CelSyntaxError)) throw error;
    throw new Error(`compilation error: compilation failed: ${describeProblem(text, error.at, error.message)}`, {
      cause: error,
    });
  }
}

function failure(message: string): Decision {
  return { kind: "error", message, reason: undefined };
}

/** What expressions see. */
function namesOf(
  attributes: AdmissionAttributes,
  namespace: Namespace | undefined,
  params: KubeObject | null,
): ReadonlyMap<string, CelValue> {
  const value = (object: unknown): CelValue => fromJson((object ?? null) as Json);
  return new Map([
    ["object", value(attributes.object)],
    ["oldObject", value(attributes.oldObject)],
    ["request", value(requestOf(attributes))],
    ["namespaceObject", value(namespace)],
    ["params", value(params)],
  ]);
}
