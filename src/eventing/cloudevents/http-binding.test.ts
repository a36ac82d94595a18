import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { AttributeValue, CloudEvent } from "./cloud-event.ts";
import { CloudEventError } from "./cloud-event-error.ts";
import {
  decodeMessage,
  decodeReply,
  encodeBatch,
  encodeBinary,
  encodeStructured,
  type HttpMessage,
} from "./http-binding.ts";

const minimal = ["ce-specversion", "1.0", "ce-id", "1", "ce-source", "/orders", "ce-type", "order.created"];
const structured = ["Content-Type", "application/cloudevents+json"];
const batched = ["Content-Type", "application/cloudevents-batch+json"];

function message(headers: readonly string[], body: string | Uint8Array = ""): HttpMessage {
  return { headers, body: Buffer.from(body) };
}

function json(extra: Record<string, unknown>): string {
  return JSON.stringify({ specversion: "1.0", id: "1", source: "/orders", type: "order.created", ...extra });
}

function one(headers: readonly string[], body: string | Uint8Array = ""): CloudEvent {
  const { events } = decodeMessage(message(headers, body));
  assert.equal(events.length, 1);
  const [event] = events;
  assert(event);
  return event;
}

function text({ data }: CloudEvent): string | undefined {
  return data === undefined ? undefined : Buffer.from(data).toString("utf8");
}

function refused(headers: readonly string[], body: string | Uint8Array = ""): CloudEventError {
  try {
    decodeMessage(message(headers, body));
  } catch (error) {
    assert(error instanceof CloudEventError, String(error));
    return error;
  }
  assert.fail("the message was taken");
}

/** What a missing or wrong attribute's error names. */
function named(headers: readonly string[], body: string | Uint8Array = ""): string | undefined {
  return refused(headers, body).attribute;
}

describe("binary messages", () => {
  it("have attributes in headers, whatever their case, and the data as it came", () => {
    const body = Buffer.from([0, 0xff, 0xfe, 10]);

    const event = one([...minimal, "CE-Subject", "o/17", "Content-Type", "application/octet-stream"], body);

    assert.equal(event.attributes.get("subject"), "o/17");
    assert.equal(event.attributes.get("datacontenttype"), "application/octet-stream");
    assert.deepEqual(Buffer.from(event.data ?? []), body);
  });

  it("without a body have no data", () => {
    assert.equal(one(minimal).data, undefined);
  });

  it("have values in percent-encoding, quotes of older senders, and raw UTF-8", () => {
    const decoded = (raw: string) => one([...minimal, "ce-subject", raw]).attributes.get("subject");

    assert.equal(decoded("Euro%20%E2%82%AC%20%f0%9f%98%80"), "Euro € 😀");
    assert.equal(decoded('"a \\"b\\" c"'), 'a "b" c');
    assert.equal(decoded("%41"), "A");
    assert.equal(decoded(Buffer.from("müde", "utf8").toString("latin1")), "müde");
  });

  it("are written with what HTTP cannot carry in percent-encoding", () => {
    const event = one(structured, json({ subject: 'Euro € "😀" 100%~!' }));

    const { headers } = encodeBinary(event);

    const at = headers.indexOf("ce-subject");
    assert.equal(headers[at + 1], "Euro%20%E2%82%AC%20%22%F0%9F%98%80%22%20100%25~!");
  });

  it("with a broken encoding are refused by the attribute's name", () => {
    for (const raw of ["%C0%A0", "%", "%4", "%zz", '"open', "\xff", "%00", "a%0D%0Ab", "%ED%A0%80", "%EF%BF%BF"])
      assert.equal(named([...minimal, "ce-subject", raw]), "subject", raw);
  });

  it("name the required attribute that is missing or empty", () => {
    for (const name of ["specversion", "id", "source", "type"]) {
      const at = minimal.indexOf(`ce-${name}`);
      assert.equal(named([...minimal.slice(0, at), ...minimal.slice(at + 2)]), name);
      assert.equal(named([...minimal.slice(0, at + 1), "", ...minimal.slice(at + 2)]), name);
    }
  });

  it("with an attribute twice, with an illegal name or one called data are refused", () => {
    assert.equal(named([...minimal, "CE-ID", "2"]), "id");
    assert.equal(named([...minimal, "ce-bad_name", "2"]), "bad_name");
    assert.equal(named([...minimal, "ce-data", "2"]), "data");
    assert.equal(named([...minimal, `ce-${"n".repeat(65)}`, "2"]), "n".repeat(65));
  });

  it("without any attribute are no events", () => {
    assert.match(refused(["content-type", "application/json"], "{}").message, /holds no CloudEvent/);
  });
});

describe("attributes", () => {
  const take = (name: string, value: unknown) => one(structured, json({ [name]: value })).attributes.get(name);
  const refuse = (name: string, value: unknown) => assert.equal(named(structured, json({ [name]: value })), name);

  it("may be strings, whole numbers of 32 bits and booleans; null is absent", () => {
    for (const value of ["x", "", 0, -2147483648, 2147483647, true, false]) assert.equal(take("ext", value), value);
    assert.equal(take("ext", null), undefined);
    for (const value of [1.5, 2147483648, -2147483649, {}, [], [1]]) refuse("ext", value);
    for (const name of ["id", "source", "type", "subject", "time", "dataschema", "datacontenttype"]) refuse(name, 5);
  });

  it("of other versions are refused, 0.3 stays 0.3", () => {
    assert.equal(take("specversion", "0.3"), "0.3");
    for (const version of ["1.1", "2.0", "", "0.2"]) refuse("specversion", version);
  });

  it("hold timestamps of RFC 3339", () => {
    for (const value of ["2024-02-29T12:00:00Z", "1990-12-31t23:59:60z", "2024-01-01T00:00:00.123456789+02:00"])
      assert.equal(take("time", value), value);
    for (const value of [
      "yesterday",
      "2023-02-29T12:00:00Z",
      "2024-13-01T00:00:00Z",
      "2024-01-00T00:00:00Z",
      "2024-01-01 00:00:00Z",
      "2024-01-01T24:00:00Z",
      "2024-01-01T00:00:00",
      "2024-01-01T00:00:00+2:00",
      "",
    ])
      refuse("time", value);
  });

  it("hold URIs and media types where they must", () => {
    for (const value of ["/a/b", "https://example.com/x?y#z", "urn:uuid:1", "1-555-123-4567", "mailto:a@b"])
      assert.equal(take("source", value), value);
    for (const value of ["%zz", ":nothing"]) refuse("source", value);
    for (const value of ["relative/schema", "", "http:"]) refuse("dataschema", value);
    for (const value of ["json", "text/", "a b/c", "text/plain; x=\u00e9"]) refuse("datacontenttype", value);
  });

  it("must not hold control characters, half a surrogate pair or noncharacters", () => {
    for (const value of ["a\u0000", "a\nb", "\u007f", "\u0085", "\ud800", "\ufffe", "\ufdd0", "\u{1ffff}"])
      refuse("subject", value);
  });

  it("are bounded in number and size: 413", () => {
    const many = Object.fromEntries(Array.from({ length: 125 }, (_, i) => [`n${i}`, "x"]));
    assert.equal(refused(structured, json(many)).status, 413);
    assert.equal(refused(structured, json({ ext: "x".repeat(8193) })).status, 413);
    const large = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`n${i}`, "x".repeat(8000)]));
    assert.equal(refused(structured, json(large)).status, 413);
  });
});

describe("structured messages", () => {
  it("keep the text of their JSON data", () => {
    const body = `{ "specversion":"1.0","id":"1","source":"/","type":"t", "data" :{ "b" : 1.0, "a": 12345678901234567890, "q":"\\"}" } }`;

    const event = one(structured, body);

    assert.equal(text(event), '{ "b" : 1.0, "a": 12345678901234567890, "q":"\\"}" }');
    assert.equal(event.attributes.get("datacontenttype"), "application/json");
  });

  it("tell a string of JSON from text by the content type", () => {
    assert.equal(text(one(structured, json({ data: "x" }))), '"x"');
    assert.equal(text(one(structured, json({ data: "x", datacontenttype: "application/vnd.a+json" }))), '"x"');
    assert.equal(text(one(structured, json({ data: "<x/>", datacontenttype: "application/xml" }))), "<x/>");
    assert.equal(text(one(structured, json({ data: null }))), "null");
    const latin = one(structured, json({ data: "ü", datacontenttype: "Text/Plain; CharSet=ISO-8859-1" }));
    assert.deepEqual([...(latin.data ?? [])], [0xfc]);
  });

  it("bring bytes as data_base64, and nothing is assumed of them", () => {
    const event = one(structured, json({ data_base64: "AP/+" }));

    assert.deepEqual([...(event.data ?? [])], [0, 0xff, 0xfe]);
    assert.equal(event.attributes.has("datacontenttype"), false);
    for (const value of ["AP/", "A*==", 5, {}])
      assert.equal(named(structured, json({ data_base64: value })), "data_base64");
    assert.equal(named(structured, json({ data: 1, data_base64: "" })), "data_base64");
  });

  it("of 0.3 say by an attribute that their data is base64", () => {
    const body = json({ specversion: "0.3", datacontentencoding: "base64", data: "AP/+", datacontenttype: "a/b" });

    const event = one(structured, body);

    assert.deepEqual([...(event.data ?? [])], [0, 0xff, 0xfe]);
    assert.deepEqual(JSON.parse(Buffer.from(encodeStructured(event).body).toString()), JSON.parse(body));
  });

  it("with anything but an event in them are refused", () => {
    for (const body of ["", "{", "[]", "5", "null", '"x"', "{} x", '{"a":1,}'])
      assert.equal(refused(structured, body).status, 400);
    assert.equal(named(structured, `{"id":"1","id":"2"}`), "id");
    assert.match(refused(structured, Buffer.from([0x7b, 0xff])).message, /not UTF-8/);
  });

  it("with a name that means something to JavaScript are refused like any illegal name", () => {
    for (const name of ["__proto__", "toString"]) assert.equal(named(structured, `{"${name}":{"x":1}}`), name);
    assert.equal(({} as Record<string, unknown>)["x"], undefined);
  });

  it("in another format, character set or content coding get 415", () => {
    const status = (...headers: string[]) => refused(headers, json({})).status;
    assert.equal(status("content-type", "application/cloudevents+avro"), 415);
    assert.equal(status("content-type", "application/cloudevents+json; charset=utf-16"), 415);
    assert.equal(status(...structured, "content-encoding", "gzip"), 415);
    assert.equal(status(...minimal, "content-encoding", "br"), 415);
    assert.equal(one(["content-type", 'Application/CloudEvents+JSON; charset="UTF-8"'], json({})).attributes.size, 4);
  });
});

describe("batched messages", () => {
  it("hold any number of events, none too", () => {
    assert.deepEqual(decodeMessage(message(batched, " [ ] ")).events, []);
    const { mode, events } = decodeMessage(message(batched, `[${json({ data: [1, 2] })} , ${json({ id: "2" })}]`));

    assert.equal(mode, "batch");
    assert.deepEqual(
      events.map((event) => [event.attributes.get("id"), text(event)]),
      [
        ["1", "[1,2]"],
        ["2", undefined],
      ],
    );
  });

  it("name the place of a bad event", () => {
    const error = refused(batched, `[${json({})},${json({ type: "" })}]`);

    assert.equal(error.message, 'event 1 of the batch: attribute "type" must not be empty');
    assert.match(refused(batched, `[5]`).message, /event 0 of the batch/);
    assert.equal(refused(batched, json({})).status, 400);
    assert.equal(refused(batched, `[${"0,".repeat(10_000)}0]`).status, 413);
  });
});

describe("replies", () => {
  it("are events only when they say so", () => {
    assert.equal(decodeReply(message(["content-type", "text/plain"], "ok")), undefined);
    assert.equal(decodeReply(message([])), undefined);
    assert.equal(decodeReply(message(minimal))?.attributes.get("id"), "1");
    assert.equal(decodeReply(message(structured, json({})))?.attributes.get("id"), "1");
    assert.throws(() => decodeReply(message(["ce-specversion", "1.0"])), CloudEventError);
    assert.throws(() => decodeReply(message(batched, "[]")), CloudEventError);
  });
});

describe("any event", () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9]{0,19}$/).filter((value) => !reserved.has(value));
  const string = fc
    .string({ unit: "grapheme", maxLength: 30 })
    .filter((value) => !/[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u.test(value));
  const event = fc
    .record({
      id: string.filter((value) => value !== ""),
      type: string.filter((value) => value !== ""),
      extensions: fc.dictionary(name, string),
      contentType: fc.constantFrom("application/json", "text/plain", "application/octet-stream", "a/b+xml", undefined),
      data: fc.option(
        fc.oneof(
          fc.uint8Array({ minLength: 1 }),
          fc.json().map((value) => Buffer.from(value)),
        ),
        { nil: undefined },
      ),
    })
    .map(({ id, type, extensions, contentType, data }): CloudEvent => {
      const attributes = new Map<string, AttributeValue>([
        ["specversion", "1.0"],
        ["id", id],
        ["source", "/s"],
        ["type", type],
      ]);
      for (const [key, value] of Object.entries(extensions)) attributes.set(key, value);
      if (contentType !== undefined) attributes.set("datacontenttype", contentType);
      return data === undefined ? { attributes } : { attributes, data: Buffer.from(data) };
    });

  it("comes out of a message as it went in, in every mode", () => {
    fc.assert(
      fc.property(event, (original) => {
        const expected = plain(original);
        for (const encode of [encodeBinary, encodeStructured, (e: CloudEvent) => encodeBatch([e])]) {
          const [back] = decodeMessage(encode(original)).events;
          assert(back);
          assert.deepEqual(plain(back), expected);
        }
      }),
      { numRuns: 150 },
    );
  });
});

const reserved = new Set([
  "data",
  "specversion",
  "id",
  "source",
  "type",
  "subject",
  "time",
  "dataschema",
  "datacontenttype",
]);

function plain({ attributes, data }: CloudEvent): unknown {
  return { attributes: Object.fromEntries([...attributes].sort()), data: data && Buffer.from(data).toString("hex") };
}
