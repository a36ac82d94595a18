import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteConfig, RouteMatch } from "#proxy/config/route.ts";
import type { RequestHead } from "#proxy/message/heads.ts";
import { KnownRoute } from "./known-route.ts";
import { readPath } from "./request-path.ts";
import { RouteTable } from "./route-table.ts";

function route(
  name: string,
  hosts: readonly string[],
  match: RouteMatch = {},
  more: Partial<RouteConfig> = {},
): RouteConfig {
  const rules = [{ matches: [match], action: { kind: "forward", backends: [{ cluster: name }] } } as const];
  return { name, listeners: ["l"], hosts, rules, ...more };
}

function tableOf(...routes: readonly RouteConfig[]): RouteTable {
  const table = new RouteTable();
  for (const one of routes) table.set(new KnownRoute(one));
  return table;
}

type Asked = {
  readonly host: string;
  readonly path?: string;
  readonly method?: string;
  readonly fields?: readonly string[];
};

function ask(table: RouteTable, { host, path = "/", method = "GET", fields = [] }: Asked): string | undefined {
  const head = { method, authority: host, target: path, fields } as unknown as RequestHead;
  const read = readPath(path);
  assert.ok(read !== undefined);
  return table.find(head, read)?.route.name;
}

test("the host's exact name wins, then one label, then any labels, then all", () => {
  const table = tableOf(
    route("exact", ["a.b.example"]),
    route("one", ["*.b.example"]),
    route("any", ["**.example"]),
    route("all", ["*"]),
  );

  assert.equal(ask(table, { host: "a.b.example:8080" }), "exact");
  assert.equal(ask(table, { host: "a.b.example." }), "exact");
  assert.equal(ask(table, { host: "c.b.example" }), "one");
  assert.equal(ask(table, { host: "d.c.b.example" }), "any");
  assert.equal(ask(table, { host: "example" }), "all");
  assert.equal(ask(table, { host: "[::1]:80" }), "all");
  assert.equal(ask(table, { host: "" }), "all");
});

test("a one-label wildcard matches exactly one label", () => {
  const table = tableOf(route("one", ["*.foo.com"]));

  assert.equal(ask(table, { host: "bar.foo.com" }), "one");
  assert.equal(ask(table, { host: "baz.bar.foo.com" }), undefined);
  assert.equal(ask(table, { host: "foo.com" }), undefined);
});

test("exact paths come before prefixes, longer prefixes before shorter, regular expressions last", () => {
  const path = (kind: "exact" | "prefix" | "regex" | "startsWith", value: string) => ({ path: { kind, value } });
  const table = tableOf(
    route("root", ["h"], path("prefix", "/")),
    route("foo", ["h"], path("prefix", "/foo/")),
    route("foobar", ["h"], path("prefix", "/foo/bar")),
    route("exact", ["h"], path("exact", "/foo")),
    route("letters", ["h"], path("startsWith", "/le")),
    route("numbers", ["h"], path("regex", "/[0-9]+")),
  );

  assert.equal(ask(table, { host: "h", path: "/foo?x" }), "exact");
  assert.equal(ask(table, { host: "h", path: "/foo/" }), "foo");
  assert.equal(ask(table, { host: "h", path: "/foo/bar/x" }), "foobar");
  assert.equal(ask(table, { host: "h", path: "/foo/barx" }), "foo");
  assert.equal(ask(table, { host: "h", path: "/foox" }), "root");
  assert.equal(ask(table, { host: "h", path: "/Foo" }), "root");
  assert.equal(ask(table, { host: "h", path: "/lexicon/x" }), "letters");
  assert.equal(ask(table, { host: "h", path: "/12" }), "root");
  table.remove("root");
  assert.equal(ask(table, { host: "h", path: "/12" }), "numbers");
  assert.equal(ask(table, { host: "h", path: "/12x" }), undefined);
});

test("methods, fields and query parameters narrow a match; more of them win", () => {
  const table = tableOf(
    route("plain", ["h"]),
    route("post", ["h"], { methods: ["POST"] }),
    route("canary", ["h"], { fields: [{ name: "x-canary", kind: "exact", value: "1" }] }),
    route("old", ["h"], { query: [{ name: "v", kind: "regex", value: "[12]" }] }),
    route("no-agent", ["h"], {
      fields: [
        { name: "user-agent", kind: "present", isInverted: true },
        { name: "x-canary", kind: "present" },
      ],
    }),
  );

  const agent = ["user-agent", "curl"];
  assert.equal(ask(table, { host: "h", fields: agent }), "plain");
  assert.equal(ask(table, { host: "h", method: "POST", fields: agent }), "post");
  assert.equal(ask(table, { host: "h", fields: [...agent, "x-canary", "1"] }), "canary");
  assert.equal(ask(table, { host: "h", fields: [...agent, "x-canary", "2"] }), "plain");
  assert.equal(ask(table, { host: "h", path: "/?a=b&v=2", fields: agent }), "old");
  assert.equal(ask(table, { host: "h", fields: ["x-canary", "2"] }), "no-agent");
});

test("equal matches are decided by priority, then by order, then by name", () => {
  const table = tableOf(
    route("b", ["h"], {}, { order: 5 }),
    route("c", ["h"], {}, { order: 2 }),
    route("a", ["h"], {}, { order: 5 }),
  );

  assert.equal(ask(table, { host: "h" }), "c");
  table.remove("c");
  assert.equal(ask(table, { host: "h" }), "a");
  table.set(new KnownRoute(route("z", ["h"], {}, { order: 9, priority: 1 })));
  assert.equal(ask(table, { host: "h" }), "z");
});

test("a route that is set again leaves the hosts that it names no more", () => {
  const table = tableOf(route("r", ["a", "b"]));
  table.set(new KnownRoute(route("r", ["b", "c"])));

  assert.deepEqual(
    ["a", "b", "c"].map((host) => ask(table, { host })),
    [undefined, "r", "r"],
  );
});

test("dot segments are resolved before anything is matched, and nothing climbs above the root", () => {
  assert.equal(readPath("/public/../admin?x=/../y")?.path, "/admin");
  assert.equal(readPath("/public/%2E%2e/admin")?.path, "/admin");
  assert.equal(readPath("/a/./b/..")?.path, "/a/");
  assert.equal(readPath("/a//b/.c/%2fd")?.path, "/a//b/.c/%2fd");
  assert.equal(readPath("/../a"), undefined);
  assert.equal(readPath("/%2e%2e/a"), undefined);
});

test("what nobody asks for rests, and answers again when it is asked", () => {
  let awoken = 0;
  const table = new RouteTable(() => awoken++);
  table.set(new KnownRoute(route("a", ["a"], { path: { kind: "regex", value: "/x.*" } })));
  table.set(new KnownRoute(route("b", ["b"])));
  assert.equal(awoken, 0);

  assert.equal(ask(table, { host: "a", path: "/xy" }), "a");
  assert.equal(table.rest(), true);
  assert.equal(ask(table, { host: "a", path: "/y" }), undefined);
  assert.equal(awoken, 1);
  assert.equal(table.rest(), true);
  assert.equal(table.rest(), false);

  assert.equal(ask(table, { host: "a", path: "/xy" }), "a");
  assert.equal(ask(table, { host: "b" }), "b");
  assert.equal(awoken, 3);
});
