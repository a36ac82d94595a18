import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import { HttpFault } from "./http-fault.ts";
import { parseTarget, refuseStrangers } from "./git-request.ts";

describe("a request of Git", () => {
  const parse = (method: string, url: string) => parseTarget({ method, url } as IncomingMessage);
  const statusOf = (work: () => unknown): number => {
    try {
      work();
      return 200;
    } catch (error) {
      return error instanceof HttpFault ? error.status : 0;
    }
  };

  it("names a repository, with or without .git, and what is wanted of it", () => {
    const target = { kind: "git", namespace: "shop", name: "site" };

    assert.deepEqual(parse("GET", "/shop/site.git/info/refs?service=git-upload-pack"), {
      ...target,
      path: "info/refs",
      service: "git-upload-pack",
    });
    assert.deepEqual(parse("POST", "/shop/site/git-receive-pack"), {
      ...target,
      path: "git-receive-pack",
      service: "git-receive-pack",
    });
    assert.deepEqual(parse("POST", "/hooks/shop/site"), { kind: "webhook", namespace: "shop", name: "site" });
    assert.equal(parse("POST", "/hooks/site.git/git-upload-pack").kind, "git");
  });

  it("is refused when it is another, or leads elsewhere", () => {
    const refused: readonly (readonly [string, string, number])[] = [
      ["GET", "/", 404],
      ["GET", "/shop/site.git/HEAD", 404],
      ["GET", "/shop/site.git/objects/info/packs", 404],
      ["GET", "/shop/site.git/info/refs", 403],
      ["GET", "/shop/site.git/info/refs?service=git-upload-archive", 403],
      ["POST", "/shop/site.git/git-upload-archive", 404],
      ["GET", "/shop/../site.git/info/refs?service=git-upload-pack", 404],
      ["GET", "/shop/..%2fsite.git/info/refs?service=git-upload-pack", 404],
      ["GET", "/shop/a/b.git/info/refs?service=git-upload-pack", 404],
      ["GET", `/shop/${"a".repeat(64)}.git/info/refs?service=git-upload-pack`, 404],
      ["GET", "/Shop/site.git/info/refs?service=git-upload-pack", 404],
      ["GET", "/shop/site.git\0/info/refs?service=git-upload-pack", 404],
      ["POST", "/shop/site.git/info/refs?service=git-upload-pack", 405],
      ["GET", "/shop/site.git/git-receive-pack", 405],
      ["GET", "/hooks/shop/site", 405],
    ];
    for (const [method, url, status] of refused)
      assert.equal(
        statusOf(() => parse(method, url)),
        status,
        `${method} ${url}`,
      );
  });

  it("comes by an address, and from no web page", () => {
    const status = (headers: IncomingMessage["headers"]) =>
      statusOf(() => refuseStrangers({ headers } as IncomingMessage));

    for (const host of ["127.0.0.1:5080", "localhost:5080", "10.42.255.1", "[::1]:5080"])
      assert.equal(status({ host }), 200);
    for (const host of ["evil.example", "127.0.0.1.evil.example:5080", "", undefined])
      assert.equal(status(host === undefined ? {} : { host }), 403);
    assert.equal(status({ host: "localhost", origin: "http://localhost" }), 403);
  });
});
