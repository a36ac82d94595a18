/**
 * The specification's own test kit. Runs where its folder is on the machine: `NODELESS_CESQL_TCK` (github.com/cloudevents/spec, `cesql/cesql_tck`), or Go's SDK of CESQL 1.0 in the module cache.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import type { AttributeValue } from "#eventing/cloudevents/cloud-event.ts";
import { CesqlParseError } from "./cesql-error.ts";
import { compileCesql } from "./compile.ts";

type Case = {
  readonly name: string;
  readonly expression: unknown;
  readonly result?: AttributeValue;
  readonly error?: string;
  readonly event?: Readonly<Record<string, AttributeValue>>;
  readonly eventOverrides?: Readonly<Record<string, AttributeValue>>;
};

const goModules = process.env["GOMODCACHE"] ?? join(process.env["GOPATH"] ?? join(homedir(), "go"), "pkg/mod");
const folder =
  process.env["NODELESS_CESQL_TCK"] ?? join(goModules, "github.com/cloudevents/sdk-go/sql/v2@v2.16.1/test/tck");
const anyEvent = { specversion: "1.0", id: "1", source: "/source", type: "type" };

/** The specification's copy still wants a draft's answer here, against its own table of casts; Go's copy has `false`. */
const outdated = { expression: "NOT 10", result: true };

test("the specification's test kit passes", {
  skip: existsSync(folder) ? false : `${folder} is not on this machine`,
}, () => {
  let cases = 0;
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".yaml"))) {
    const suite = parse(readFileSync(join(folder, file), "utf8")) as { readonly tests: readonly Case[] };
    for (const one of suite.tests) {
      if (one.expression === outdated.expression && one.result === outdated.result) continue;
      cases++;
      assert.deepEqual(outcome(one), expected(one), `${file}: ${one.name}`);
    }
  }

  assert(cases > 250, `only ${cases} cases were found`);
});

function outcome({ expression, event, eventOverrides }: Case): unknown {
  const attributes = new Map(Object.entries(event ?? { ...anyEvent, ...eventOverrides }));
  try {
    return compileCesql(String(expression)).evaluate(attributes);
  } catch (error) {
    if (error instanceof CesqlParseError) return { error: "parse" };
    throw error;
  }
}

function expected({ result, error }: Case): unknown {
  if (error === "parse") return { error };
  return error === undefined ? { value: result } : { value: result, error };
}
