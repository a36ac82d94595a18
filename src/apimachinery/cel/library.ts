/**
 * All functions that expressions may call: those of the language, cel-go's extensions and Kubernetes' own.
 */
import { FORMAT_MEMBERS, FORMATS } from "./library-formats.ts";
import type { FunctionTable } from "./functions.ts";
import { LIST_FUNCTIONS, LIST_MEMBERS } from "./library-lists.ts";
import { NETWORK_FUNCTIONS, NETWORK_MEMBERS } from "./library-network.ts";
import { NUMBER_FUNCTIONS, NUMBER_MEMBERS } from "./library-numbers.ts";
import { STRING_FUNCTIONS, STRING_MEMBERS } from "./library-strings.ts";
import { TIME_MEMBERS } from "./library-times.ts";
import { CONVERSIONS } from "./operators.ts";

/** Functions by name; those of a namespace as `namespace.name`. */
export const GLOBALS: FunctionTable = {
  ...CONVERSIONS,
  ...STRING_FUNCTIONS,
  ...LIST_FUNCTIONS,
  ...NUMBER_FUNCTIONS,
  ...NETWORK_FUNCTIONS,
  ...FORMATS,
};

/** Functions that are called on a value, which is their first argument. Names that several libraries share are told apart by the value. */
export const MEMBERS: FunctionTable = shared([
  STRING_MEMBERS,
  TIME_MEMBERS,
  LIST_MEMBERS,
  NUMBER_MEMBERS,
  NETWORK_MEMBERS,
  FORMAT_MEMBERS,
]);

/** Joins tables. Where a name occurs twice, the first library that takes the arguments answers. */
function shared(tables: readonly FunctionTable[]): FunctionTable {
  const joined: Record<string, FunctionTable[string]> = {};
  for (const [name, member] of tables.flatMap((table) => Object.entries(table))) {
    const known = joined[name];
    joined[name] = known === undefined ? member : either(known, member);
  }
  return joined;
}

function either(first: FunctionTable[string], second: FunctionTable[string]): FunctionTable[string] {
  return {
    arity: [Math.min(first.arity[0], second.arity[0]), Math.max(first.arity[1], second.arity[1])],
    result: first.result === second.result ? first.result : "dyn",
    call: (args, meter) => {
      const fits = ({ arity: [min, max] }: FunctionTable[string]): boolean => args.length >= min && args.length <= max;
      if (!fits(first)) return second.call(args, meter);
      if (!fits(second)) return first.call(args, meter);
      try {
        return first.call(args, meter);
      } catch (error) {
        if (error instanceof Error && error.message === "no such overload") return second.call(args, meter);
        throw error;
      }
    },
  };
}
