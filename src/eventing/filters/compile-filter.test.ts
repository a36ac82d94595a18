import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AttributeValue, CloudEvent } from "#eventing/cloudevents/cloud-event.ts";
import { formatErrors } from "#knative/admission/field-error.ts";
import { compileFilter, FilterError } from "./compile-filter.ts";
import type { FilterSpec, SubscriptionsFilter } from "./filter-spec.ts";
import { validateFilters } from "./validate-filter.ts";

function event(extra: Readonly<Record<string, AttributeValue>> = {}): CloudEvent {
  const all = { specversion: "1.0", id: "17", source: "/orders/eu", type: "order.created", ...extra };
  return { attributes: new Map<string, AttributeValue>(Object.entries(all)) };
}

function wants(spec: FilterSpec, extra?: Readonly<Record<string, AttributeValue>>): boolean {
  const filter = compileFilter(spec);
  return filter === undefined || filter(event(extra));
}

function wantsAll(filters: readonly SubscriptionsFilter[], extra?: Readonly<Record<string, AttributeValue>>): boolean {
  return wants({ filters }, extra);
}

function problems(spec: FilterSpec): string {
  return formatErrors(validateFilters(spec));
}

describe("filter.attributes", () => {
  it("take everything when there are none", () => {
    assert.equal(compileFilter({}), undefined);
    assert.equal(compileFilter({ filter: {} }), undefined);
    assert.equal(compileFilter({ filter: { attributes: {} } }), undefined);
  });

  it("must all be equal; an empty one takes any value that is there", () => {
    assert(wants({ filter: { attributes: { type: "order.created", source: "" } } }));
    assert(!wants({ filter: { attributes: { type: "order.created", source: "/x" } } }));
    assert(!wants({ filter: { attributes: { type: "order" } } }));
    assert(!wants({ filter: { attributes: { subject: "" } } }));
    assert(wants({ filter: { attributes: { subject: "" } } }, { subject: "o" }));
    assert(!wants({ filter: { attributes: { ext: "x" } } }));
  });

  it("read numbers and booleans as text", () => {
    assert(wants({ filter: { attributes: { n: "5", b: "true" } } }, { n: 5, b: true }));
  });

  it("do not count beside filters", () => {
    assert(wants({ filter: { attributes: { type: "x" } }, filters: [{ exact: { id: "17" } }] }));
    assert(!wants({ filter: { attributes: { type: "x" } }, filters: [] }));
  });
});

describe("filters", () => {
  it("exact, prefix and suffix want every attribute that they name", () => {
    assert(wantsAll([{ exact: { type: "order.created", id: "17" } }]));
    assert(!wantsAll([{ exact: { type: "order.created", id: "18" } }]));
    assert(wantsAll([{ prefix: { type: "order." } }, { suffix: { type: ".created" } }]));
    assert(!wantsAll([{ prefix: { type: "order." } }, { suffix: { type: ".deleted" } }]));
    assert(!wantsAll([{ prefix: { subject: "a" } }]));
    assert(
      wantsAll([{ exact: { datamediatype: "application/json" } }], {
        datacontenttype: "Application/JSON; charset=utf-8",
      }),
    );
  });

  it("all, any and not nest", () => {
    const eu: SubscriptionsFilter = { suffix: { source: "/eu" } };
    const created: SubscriptionsFilter = { exact: { type: "order.created" } };
    const deleted: SubscriptionsFilter = { exact: { type: "order.deleted" } };

    assert(wantsAll([{ all: [eu, { any: [deleted, created] }] }]));
    assert(!wantsAll([{ all: [eu, { not: { any: [deleted, created] } }] }]));
    assert(wantsAll([{ not: { all: [eu, deleted] } }]));
    assert(!wantsAll([{ any: [deleted, { not: eu }] }]));
  });

  it("that say nothing are as if they were not there", () => {
    for (const filter of [
      {},
      { exact: {} },
      { not: {} },
      { all: [{}] },
      { any: [{}] },
      { cesql: "" },
      { exact: { type: "" } },
    ])
      assert.equal(compileFilter({ filters: [filter] }), undefined, JSON.stringify(filter));
    assert(!wantsAll([{}, { exact: { id: "1" } }]));
    assert(!wantsAll([{ any: [{}, { exact: { id: "1" } }] }]));
  });

  it("of CESQL take what gives true without an error", () => {
    assert(wantsAll([{ cesql: "type LIKE 'order.%' AND source IN ('/orders/eu', '/orders/us')" }]));
    assert(!wantsAll([{ cesql: "missing != 'x'" }]));
    assert(!wantsAll([{ cesql: "id" }]));
  });
});

describe("what is wrong with filters", () => {
  it("is said with its place, in Knative's words", () => {
    assert.equal(
      problems({ filter: { attributes: { "Bad-Name": "x" } } }),
      'invalid key name "Bad-Name": filter.attributes[Bad-Name]\nAttribute name must start with a letter and can only contain lowercase alphanumeric',
    );
    assert.equal(
      problems({ filters: [{}, { all: [{ not: { exact: { a: "b" }, prefix: { a: "b" } } }] }] }),
      "multiple dialects found, filters can have only one dialect set: filters[1].all[0].not",
    );
    assert.match(
      problems({ filters: [{ any: [{ cesql: "id =" }] }] }),
      /^invalid value: id =: filters\[0\]\.any\[0\]\.cesql\n/,
    );
  });

  it("is a CESQL expression that can never be true", () => {
    assert.match(problems({ filters: [{ cesql: "NOPE(id)" }] }), /there is no function NOPE with 1 argument/);
    assert.match(problems({ filters: [{ cesql: "1 + 1" }] }), /gives a number/);
    assert.match(problems({ filters: [{ cesql: "'true'" }] }), /gives a string/);
  });

  it("is that there are too many or too deep ones", () => {
    let deep: SubscriptionsFilter = { exact: { id: "1" } };
    for (let i = 0; i < 32; i++) deep = { not: deep };
    assert.match(problems({ filters: [deep] }), /nest deeper than 32/);
    assert.match(
      problems({ filters: [{ any: Array.from({ length: 1000 }, () => ({ exact: { id: "1" } })) }] }),
      /more than 1000 filters/,
    );
  });

  it("makes compiling fail with the same words", () => {
    assert.throws(
      () => compileFilter({ filters: [{ cesql: "(" }] }),
      (error) => error instanceof FilterError && /filters\[0\]\.cesql/.test(error.message),
    );
  });
});
