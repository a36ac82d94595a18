import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import type { Client } from "#client/client.ts";
import { Access } from "./access.ts";

describe("who asks the Git server", () => {
  const administrator = { name: "kubernetes-admin", groups: ["system:masters"] };
  const access = new Access({ client: {} as Client, localUser: () => Promise.resolve(administrator) });
  const ask = (headers: IncomingMessage["headers"]) => access.identify({ headers, socket: {} } as IncomingMessage);

  it("is the administrator when his own git asks without a token", async () => {
    assert.equal(await ask({ "user-agent": "git/2.39.5" }), administrator);
    assert.equal(await ask({ "user-agent": "JGit/6.10" }), administrator);
  });

  it("is nobody when another program of his was led here", async () => {
    for (const agent of [undefined, "undici", "Mozilla/5.0"])
      await assert.rejects(ask({ ...(agent !== undefined && { "user-agent": agent }) }), { status: 401 }, agent);
  });
});
