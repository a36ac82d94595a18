import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, beforeEach, describe, it } from "node:test";
import { findCommit } from "#delivery/git/bare-repository.ts";
import { failToDeploy, GitHouse, hasGit } from "#delivery/testing/git-house.ts";
import { Notices } from "./notices.ts";
import type { Webhook } from "#delivery/kinds.ts";

const skip = hasGit() ? false : "needs git";
const zeros = "0".repeat(40);

describe("a webhook", { skip }, () => {
  const house = new GitHouse();
  const sign = (body: string, secret = "s3cret") => createHmac("sha256", secret).update(body).digest("hex");
  const use = (provider: NonNullable<Webhook["provider"]>) => {
    const webhook = { provider, url: `${house.url}/default/outside.git`, secretRef: { name: "hook" } };
    house.repository = { ...house.repository, spec: { webhook } };
  };
  const send = async (body: string | object, headers: Readonly<Record<string, string>>) => {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const answer = await fetch(`${house.url}/hooks/default/site`, { method: "POST", body: text, headers });
    await house.webhooks.stop();
    return { status: answer.status, text: (await answer.text()).trim() };
  };
  const github = (body: object, secret?: string) =>
    send(body, {
      "x-github-event": "push",
      "x-hub-signature-256": `sha256=${sign(JSON.stringify(body), secret)}`,
    });
  const main = () => findCommit(house.folders.git("u1"), "main");
  const counts = () => house.counter.of(house.repository);

  before(() => house.start());
  after(() => house.stop());
  beforeEach(() => {
    house.onDeploy = async () => {};
    house.deployed.length = 0;
    house.secret = { token: "s3cret", username: "x", password: "token" };
    use("github");
  });

  it("that is signed has the branch fetched and deployed, with the rights of its service account", async () => {
    const commit = await house.commit({ "index.ts": "1" });
    await house.pushTo("outside", "main");
    let user = "";
    house.onDeploy = async ({ client }) => {
      user = (client as unknown as { readonly of: string }).of;
    };

    const { status, text } = await github({ ref: "refs/heads/main", after: commit });

    assert.deepEqual([status, text], [202, "main is being fetched"]);
    assert.deepEqual(house.deployed, [`main@${commit.slice(0, 7)}`]);
    assert.equal(await main(), commit);
    assert.equal(user, "system:serviceaccount:default:default");
  });

  it("deploys what the host has, whatever the notice says", async () => {
    const before = await main();

    await github({ ref: "refs/heads/main", after: "f".repeat(40) });

    assert.equal(await main(), before);
    assert.deepEqual(house.deployed, []);
  });

  it("that was taken before is refused and counted", async () => {
    const body = { ref: "refs/heads/main", after: "a".repeat(40) };
    assert.equal((await github(body)).status, 202);

    const { status, text } = await github(body);

    assert.deepEqual([status, text], [409, "this was delivered before"]);
    assert.equal(counts()?.repeated, 1);
  });

  it("that was taken and not dealt with before a crash is gone on with", async () => {
    const commit = await house.commit({ "index.ts": "late" });
    await house.pushTo("outside", "main");
    const notices = new Notices(house.folders.git("u1").folder);
    await notices.add({ branch: "main", isGone: false });

    await house.webhooks.resume(house.repository);
    await house.webhooks.stop();

    assert.equal(await main(), commit);
    assert.deepEqual(await notices.list(), []);
  });

  it("that failed may be delivered again", async () => {
    const commit = await house.commit({ "index.ts": "2" });
    await house.pushTo("outside", "main");
    const body = { ref: "refs/heads/main", after: commit };
    house.onDeploy = failToDeploy;
    assert.equal((await github(body)).status, 202);
    assert.notEqual(await main(), commit);
    house.onDeploy = async () => {};

    assert.equal((await github(body)).status, 202);
    assert.equal(await main(), commit);
  });

  it("that is forged is refused and counted, and nothing is fetched", async () => {
    const before = counts()?.refused ?? 0;
    const body = JSON.stringify({ ref: "refs/heads/main", after: zeros });
    const forged: readonly Readonly<Record<string, string>>[] = [
      { "x-github-event": "push" },
      { "x-github-event": "push", "x-hub-signature-256": `sha256=${sign(body, "other")}` },
      { "x-github-event": "push", "x-hub-signature-256": sign(body) },
      { "x-github-event": "push", "x-hub-signature": `sha1=${sign(body)}` },
      { "x-github-event": "push", "x-gitlab-token": "s3cret" },
    ];
    for (const headers of forged) assert.equal((await send(body, headers)).status, 401);
    house.secret = {};
    assert.equal((await github({ ref: "refs/heads/main", after: zeros }, "")).status, 401);

    assert.equal((counts()?.refused ?? 0) - before, forged.length + 1);
    assert.match(counts()?.lastRefusal ?? "", /not signed as github/);
    assert.deepEqual(house.deployed, []);
  });

  it("of GitLab and Gitea is known by their own headers", async () => {
    const body = JSON.stringify({ ref: "refs/heads/main", after: "b".repeat(40) });
    use("gitlab");
    assert.equal((await send(body, { "x-gitlab-event": "Push Hook", "x-gitlab-token": "wrong" })).status, 401);
    assert.equal((await send(body, { "x-gitlab-event": "Push Hook", "x-gitlab-token": "s3cret" })).status, 202);
    use("gitea");
    const other = JSON.stringify({ ref: "refs/heads/main", after: "c".repeat(40) });
    assert.equal((await send(other, { "x-gitea-event": "push", "x-gitea-signature": sign(body) })).status, 401);
    assert.equal((await send(other, { "x-gitea-event": "push", "x-gitea-signature": sign(other) })).status, 202);
  });

  it("of something else than a push, or to nothing that waits for one, does nothing", async () => {
    const ping = JSON.stringify({ zen: "x" });
    const headers = { "x-github-event": "ping", "x-hub-signature-256": `sha256=${sign(ping)}` };
    assert.deepEqual(await send(ping, headers), { status: 200, text: "nothing to do" });
    assert.equal((await github({ ref: "refs/tags/v1", after: "d".repeat(40) })).status, 200);
    assert.equal(
      (await send("[]", { "x-github-event": "push", "x-hub-signature-256": `sha256=${sign("[]")}` })).status,
      400,
    );

    house.repository = { ...house.repository, spec: {} };
    assert.equal((await github({ ref: "refs/heads/main", after: zeros })).status, 404);
    assert.equal((await fetch(`${house.url}/hooks/default/site`)).status, 405);
  });
});
