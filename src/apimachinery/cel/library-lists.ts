/**
 * Functions on lists, sets and optional values.
 */
import { instanceArg, intArg, listArg } from "./arguments.ts";
import { type CelFunction, costly, fn, type FunctionTable } from "./functions.ts";
import { OPERATORS } from "./operators.ts";
import {
  celCompare,
  celEquals,
  CelError,
  type CelList,
  type CelValue,
  Duration,
  isCelMap,
  Optional,
  Timestamp,
  Uint,
} from "./values.ts";

/** The year 1, Go's zero time. */
const ZERO_TIME = -62_135_596_800_000_000_000n;

/** Cost of comparing each with each. */
function pairwise(call: (a: CelList, b: CelList) => boolean): CelFunction {
  return {
    arity: [2, 2],
    result: "bool",
    call: ([first, second], meter) => {
      const [a, b] = [listArg(first), listArg(second)];
      meter.spend(a.length * b.length);
      return call(a, b);
    },
  };
}

export const LIST_FUNCTIONS: FunctionTable = {
  "sets.contains": pairwise((a, b) => b.every((item) => has(a, item))),
  "sets.equivalent": pairwise((a, b) => b.every((item) => has(a, item)) && a.every((item) => has(b, item))),
  "sets.intersects": pairwise((a, b) => b.some((item) => has(a, item))),
  "lists.range": fn(1, "list", (count) => {
    const length = intArg(count);
    if (length > 1_000_000) throw new CelError("list too long");
    return Array.from({ length }, (_, index) => BigInt(index));
  }),
  "optional.of": fn(1, "optional", (value) => new Optional(value)),
  "optional.none": fn(0, "optional", () => new Optional()),
  "optional.ofNonZeroValue": fn(1, "optional", (value) =>
    isZero(value as CelValue) ? new Optional() : new Optional(value),
  ),
};

export const LIST_MEMBERS: FunctionTable = {
  isSorted: costly(1, "bool", (list) => {
    const items = listArg(list);
    return items.every((item, index) => index === 0 || (celCompare(items[index - 1] as CelValue, item) ?? 1) <= 0);
  }),
  sum: costly(1, "dyn", (list) => {
    const items = listArg(list);
    if (items.length === 0) return 0n;
    return items.slice(1).reduce((sum, item) => plus(sum, item), items[0] as CelValue);
  }),
  min: costly(1, "dyn", (list) => extreme(listArg(list), -1, "min")),
  max: costly(1, "dyn", (list) => extreme(listArg(list), 1, "max")),
  indexOf: costly(2, "int", (list, item) =>
    BigInt(listArg(list).findIndex((each) => celEquals(each, item as CelValue))),
  ),
  lastIndexOf: costly(2, "int", (list, item) =>
    BigInt(listArg(list).findLastIndex((each) => celEquals(each, item as CelValue))),
  ),
  distinct: costly(1, "list", (list) => {
    const items = listArg(list);
    return items.filter((item, index) => items.findIndex((other) => celEquals(other, item)) === index);
  }),
  flatten: costly([1, 2], "list", (list, depth) => flatten(listArg(list), depth === undefined ? 1 : intArg(depth))),
  slice: costly(3, "list", (list, from, to) => {
    const [start, end, items] = [intArg(from), intArg(to), listArg(list)];
    if (start < 0 || end > items.length || start > end)
      throw new CelError(`cannot slice(${start}, ${end}), list is of length ${items.length}`);
    return items.slice(start, end);
  }),
  sort: costly(1, "list", (list) => listArg(list).toSorted((a, b) => celCompare(a, b) ?? 0)),
  first: fn(1, "optional", (list) => new Optional(listArg(list)[0])),
  last: fn(1, "optional", (list) => new Optional(listArg(list).at(-1))),
  hasValue: fn(1, "bool", (value) => instanceArg(value, Optional).value !== undefined),
  value: fn(1, "dyn", (value) => {
    const inner = instanceArg(value, Optional).value;
    if (inner === undefined) throw new CelError("optional.none() dereference");
    return inner;
  }),
  orValue: fn(2, "dyn", (value, other) => instanceArg(value, Optional).value ?? (other as CelValue)),
  or: fn(2, "optional", (value, other) => {
    const optional = instanceArg(value, Optional);
    return optional.value === undefined ? instanceArg(other, Optional) : optional;
  }),
};

function has(list: CelList, item: CelValue): boolean {
  return list.some((each) => celEquals(each, item));
}

function plus(a: CelValue, b: CelValue): CelValue {
  return (OPERATORS["_+_"] as CelFunction).call([a, b], { spend: () => {} });
}

function extreme(items: CelList, wanted: -1 | 1, name: string): CelValue {
  if (items.length === 0) throw new CelError(`${name} called on empty list`);
  return items.reduce((best, item) => (celCompare(item, best) === wanted ? item : best));
}

function flatten(items: CelList, depth: number): CelList {
  return items.flatMap((item) => (Array.isArray(item) && depth > 0 ? flatten(item, depth - 1) : [item]));
}

function isZero(value: CelValue): boolean {
  if (value === null || value === false || value === 0n || value === 0 || value === "") return true;
  if (value instanceof Uint) return value.value === 0n;
  if (value instanceof Duration) return value.nanos === 0n;
  if (value instanceof Timestamp) return value.nanos === ZERO_TIME;
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0;
  return isCelMap(value) && value.size === 0;
}
