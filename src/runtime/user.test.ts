import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { makeFolderInRoot, readInRoot, resolveInRoot } from "./rooted-path.ts";
import type { SecuritySettings } from "./settings.ts";
import { resolveUser, verifyNonRoot } from "./user.ts";

describe("users of an image", () => {
  let root: string;
  beforeEach(() => {
    root = join(mkdtempSync(join(tmpdir(), "nodeless-user-")), "root");
    mkdirSync(join(root, "etc"), { recursive: true });
    writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/false\n");
    writeFileSync(join(root, "etc/group"), "root:x:0:\nweb:x:34:\nlogs:x:50:web,other\n");
  });
  afterEach(() => rmSync(join(root, ".."), { recursive: true, force: true }));

  const plain: SecuritySettings = {
    privileged: false,
    runAsNonRoot: false,
    supplementalGroups: [],
    supplementalGroupsPolicy: "Merge",
    readOnlyRootFilesystem: false,
    allowPrivilegeEscalation: true,
    addCapabilities: [],
    dropCapabilities: [],
    seccomp: { type: "RuntimeDefault" },
    procMount: "Default",
  };

  test("the image's user is looked up in the image, with the groups it is a member of", () => {
    assert.deepEqual(resolveUser(root, "web", plain), { uid: 33, gid: 34, additionalGids: [34, 50] });
    assert.deepEqual(resolveUser(root, "web:logs", plain), { uid: 33, gid: 50, additionalGids: [50] });
    assert.deepEqual(resolveUser(root, "", plain), { uid: 0, gid: 0, additionalGids: [0] });
    assert.deepEqual(resolveUser(root, "1000", plain), { uid: 1000, gid: 0, additionalGids: [0] });
    assert.throws(
      () => resolveUser(root, "nobody", plain),
      /unable to find user nobody: no matching entries in passwd file/,
    );
  });

  test("what the pod asks for wins, and Strict leaves the image's groups out", () => {
    const asked = { ...plain, runAsUser: 33, supplementalGroups: [7] };

    assert.deepEqual(resolveUser(root, "0:0", asked), { uid: 33, gid: 34, additionalGids: [34, 50, 7] });
    assert.deepEqual(resolveUser(root, "", { ...asked, supplementalGroupsPolicy: "Strict" }).additionalGids, [34, 7]);
    assert.deepEqual(resolveUser(root, "web", { ...asked, runAsGroup: 9 }).gid, 9);
  });

  test("root is refused where it must not be, in the kubelet's words", () => {
    const strict = { ...plain, runAsNonRoot: true };
    const root0 = { uid: 0, gid: 0, additionalGids: [] };

    assert.throws(
      () => verifyNonRoot(root0, "", strict, "(x)"),
      /container has runAsNonRoot and image will run as root \(x\)/,
    );
    assert.throws(
      () => verifyNonRoot(root0, "web", strict, ""),
      /image has non-numeric user \(web\), cannot verify user is non-root/,
    );
    assert.throws(() => verifyNonRoot(root0, "", { ...strict, runAsUser: 0 }, ""), /runAsUser breaks non-root policy/);
    verifyNonRoot({ ...root0, uid: 5 }, "5", strict, "");
    verifyNonRoot(root0, "", { ...strict, runAsUser: 5 }, "");
  });

  test("links in an image do not lead to the machine's files", () => {
    rmSync(join(root, "etc/passwd"));
    symlinkSync("/etc/hostname", join(root, "etc/passwd"));
    symlinkSync("../../../../../../etc", join(root, "up"));

    assert.equal(readInRoot(root, "/etc/passwd"), "");
    assert.equal(resolveInRoot(root, "/up/x"), join(root, "etc/x"));
    makeFolderInRoot(root, "/up/made/deep");
    assert.equal(resolveInRoot(root, "up/made/deep"), join(root, "etc/made/deep"));
  });
});
