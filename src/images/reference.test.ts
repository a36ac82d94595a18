import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReference, type InvalidReference, parseReference } from "./reference.ts";

const digest = `sha256:${"a1".repeat(32)}`;

test("short names get their registry, their folder and the tag latest", () => {
  const full = (text: string) => formatReference(parseReference(text));

  assert.equal(full("nginx"), "docker.io/library/nginx:latest");
  assert.equal(full("nginx:1.27"), "docker.io/library/nginx:1.27");
  assert.equal(full("user/app"), "docker.io/user/app:latest");
  assert.equal(full("localhost/app"), "localhost/app:latest");
  assert.equal(full("localhost:5000/a/b/c:v1"), "localhost:5000/a/b/c:v1");
  assert.equal(full("ghcr.io/x/y"), "ghcr.io/x/y:latest");
  assert.equal(full("index.docker.io/nginx"), "docker.io/library/nginx:latest");
});

test("a digest wins over the tag and needs none", () => {
  assert.deepEqual(parseReference(`nginx@${digest}`), { registry: "docker.io", repository: "library/nginx", digest });
  assert.equal(formatReference(parseReference(`nginx:1.27@${digest}`)), `docker.io/library/nginx@${digest}`);
});

test("what is no reference is refused in the words that users know", () => {
  for (const text of [
    "",
    ":tag",
    "a b",
    "nginx:",
    "nginx:ta g",
    "-x/y",
    "nginx@sha256:abc",
    "a//b",
    "../x",
    "http://x/y",
  ])
    assert.throws(
      () => parseReference(text),
      (error: InvalidReference) => error.message === "invalid reference format",
      text,
    );
  assert.throws(() => parseReference("Nginx"), /repository name \(library\/Nginx\) must be lowercase/);
});
