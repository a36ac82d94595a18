/**
 * The protobuf codec against upstream's own bytes: k8s.io/api ships an object of every kind as JSON and as protobuf. Runs where that module is on the machine.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ProtobufCodec } from "#apimachinery/codecs/protobuf-codec.ts";
import { readEnvelope, writeEnvelope } from "#apimachinery/codecs/protobuf-envelope.ts";
import { loadKindFacts } from "./kind-facts-table.ts";

const goPath = process.env["GOPATH"] ?? join(homedir(), "go");
const folder = join(process.env["GOMODCACHE"] ?? join(goPath, "pkg/mod"), "k8s.io/api@v0.36.3/testdata/HEAD");

test("upstream's objects of all kinds are encoded to the same bytes and decoded to the same JSON", {
  skip: existsSync(folder) ? false : `${folder} is not on this machine`,
}, () => {
  const facts = loadKindFacts();
  const codec = new ProtobufCodec();
  let kinds = 0;
  let ofTexts = 0;

  for (const file of readdirSync(folder).filter((name) => name.endsWith(".pb"))) {
    const expected = readFileSync(join(folder, file));
    const json = JSON.parse(readFileSync(join(folder, file.replace(/pb$/, "json")), "utf8"));
    const [, group = "", version = "", name = ""] = /^(.*)\.(v\w+)\.(\w+)\.pb$/.exec(file) ?? [];
    const schema = facts.schemaOf(group === "core" ? "" : group, version, name);
    if (schema === undefined) continue;
    kinds++;
    const { apiVersion, kind, raw } = readEnvelope(expected);
    const decoded = codec.decode(schema, raw, { apiVersion, kind });
    const bytes = writeEnvelope({ apiVersion, kind, raw: codec.encode(schema, json) });
    assert.equal(JSON.stringify(decoded), JSON.stringify(json), file);
    assert(bytes.equals(expected), `${file}: encoded bytes differ`);
    const ofText = codec.encodeText(schema, Buffer.from(JSON.stringify(json)), "");
    if (ofText === undefined) continue;
    ofTexts++;
    assert.equal(JSON.stringify(codec.decode(schema, ofText, { apiVersion, kind })), JSON.stringify(json), file);
  }

  assert(kinds > 120, `only ${kinds} kinds compared`);
  assert(ofTexts > 110, `only ${ofTexts} kinds were made of their text`);
});
