import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { UserError } from "./command.ts";
import { checkKubeconfig, defaultKubeconfigPath, mergeKubeconfig, removeFromKubeconfig } from "./kubeconfig.ts";

const entry = {
  name: "nodeless",
  server: "https://127.0.0.1:6443",
  certificateAuthority: "CA",
  clientCertificate: "CERT",
  clientKey: "KEY",
};

type Kubeconfig = {
  readonly contexts: readonly { readonly name: string }[];
  readonly clusters: readonly { readonly name: string }[];
  readonly "current-context": string;
};

function inFolder(use: (path: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "kubeconfig-"));
  try {
    use(join(folder, "config"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const read = (path: string) => parse(readFileSync(path, "utf8")) as Kubeconfig;

test("a new kubeconfig gets the context as its current one and is private", () => {
  inFolder((path) => {
    const { isCurrent } = mergeKubeconfig(path, entry);

    assert.equal(isCurrent, true);
    assert.equal(read(path)["current-context"], "nodeless");
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });
});

test("other contexts, the current one and comments stay as they are", () => {
  inFolder((path) => {
    writeFileSync(
      path,
      "# mine\napiVersion: v1\nkind: Config\ncontexts:\n- name: work # keep\n  context: {cluster: work, user: me}\nclusters: null\ncurrent-context: work\n",
    );

    const { isCurrent } = mergeKubeconfig(path, entry);

    assert.equal(isCurrent, false);
    assert.match(readFileSync(path, "utf8"), /^# mine[\s\S]*name: work # keep/);
    assert.deepEqual(
      read(path).contexts.map(({ name }) => name),
      ["work", "nodeless"],
    );
  });
});

test("merging twice changes nothing the second time", () => {
  inFolder((path) => {
    mergeKubeconfig(path, entry);
    const first = readFileSync(path, "utf8");
    mergeKubeconfig(path, entry);

    assert.equal(readFileSync(path, "utf8"), first);
  });
});

test("removing takes the entry out and nothing else", () => {
  inFolder((path) => {
    mergeKubeconfig(path, { ...entry, name: "other" });
    mergeKubeconfig(path, entry);
    removeFromKubeconfig(path, "nodeless");

    assert.deepEqual(
      read(path).clusters.map(({ name }) => name),
      ["other"],
    );
    assert.equal(read(path)["current-context"], "other");
    assert.equal(existsSync(`${path}.lock`), false);
  });
});

test("removing the current context leaves none, not one without a name", () => {
  inFolder((path) => {
    mergeKubeconfig(path, entry);
    removeFromKubeconfig(path, "nodeless");

    assert.equal("current-context" in read(path), false);
  });
});

test("where no context could be put is said before anything is done", () => {
  inFolder((path) => {
    checkKubeconfig(path);
    checkKubeconfig(join(path, "that/is/not/there/yet"));
    assert.equal(existsSync(path), false);

    writeFileSync(path, "kind: Config\n");
    checkKubeconfig(path);
    assert.throws(
      () => checkKubeconfig(join(path, "config")),
      /cannot be put into .* it is no folder\. Pass --kubeconfig/,
    );
    assert.throws(() => checkKubeconfig(join(path, "..")), UserError);
  });
});

test("a file that is no kubeconfig is refused and left alone", () => {
  inFolder((path) => {
    writeFileSync(path, "a: [1\n");

    assert.throws(() => checkKubeconfig(path), UserError);
    assert.throws(() => mergeKubeconfig(path, entry), UserError);
    assert.equal(readFileSync(path, "utf8"), "a: [1\n");
  });
});

test("the file is the one that kubectl would write", () => {
  assert.equal(defaultKubeconfigPath({ HOME: "/home/a" }), "/home/a/.kube/config");
  assert.equal(defaultKubeconfigPath({ HOME: "/home/a", KUBECONFIG: "/x/one:/x/two" }), "/x/two");
});
