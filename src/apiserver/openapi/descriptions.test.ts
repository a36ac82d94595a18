import assert from "node:assert/strict";
import { test } from "node:test";
import { loadKindFacts } from "#api/kind-facts-table.ts";
import { describeField } from "./descriptions.ts";
import { Words } from "./words.ts";

const upstream = new Words({
  V1PodSpec: { "": "PodSpec is a description of a pod.", hostname: "The pod's hostname." },
  V1Affinity: { "": "Affinity is a group of affinity scheduling rules." },
});

test("a field with a struct has words of its own: explain shows the struct's beside them", () => {
  const affinity = describeField(upstream, "io.k8s.api.core.v1.PodSpec", "affinity", false);

  assert.match(affinity ?? "", /^Which nodes/);
  assert.equal(describeField(upstream, "io.k8s.api.core.v1.PodSpec", "hostname", false), "The pod's hostname.");
});

test("words of our own are about fields that there are", () => {
  const facts = loadKindFacts();
  const known = { Container: ["readinessProbe", "securityContext"], Volume: ["projected", "persistentVolumeClaim"] };
  for (const [name, fields] of Object.entries(known))
    for (const field of fields) {
      const struct = `io.k8s.api.core.v1.${name}`;
      assert.notEqual(describeField(new Words({}), struct, field, false), undefined, `${name}.${field}`);
      assert.equal(facts.structOf(struct)?.fields.has(field), true, `${name}.${field}`);
    }
});
