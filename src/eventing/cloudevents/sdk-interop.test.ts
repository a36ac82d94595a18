/**
 * CloudEvents' own library for JavaScript as the other side: what it sends is read, what is sent to it is understood. Why it is not the codec itself: docs/decisions, "CloudEvents with a codec of our own".
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CloudEvent as SdkEvent, HTTP, type Headers as SdkHeaders } from "cloudevents";
import { decodeMessage, encodeBatch, encodeBinary, encodeStructured, type HttpMessage } from "./http-binding.ts";

const facts = {
  id: "A-1",
  source: "/orders/eu",
  type: "order.created",
  time: "2024-01-01T00:00:00.000Z",
  subject: "o/17",
  dataschema: "https://example.com/order.json",
  partitionkey: "k1",
};
const data = { order: 17, items: [1, 2, 3] };
const theirs = new SdkEvent({ ...facts, datacontenttype: "application/json", data });

describe("CloudEvents' JavaScript library", () => {
  it("sends messages that are read, binary and structured", () => {
    for (const sent of [HTTP.binary(theirs), HTTP.structured(theirs)]) {
      const { events } = decodeMessage(fromSdk(sent.headers, sent.body));

      const [event] = events;
      assert(event);
      for (const [name, value] of Object.entries(facts)) assert.equal(event.attributes.get(name), value);
      assert.deepEqual(JSON.parse(Buffer.from(event.data ?? []).toString()), data);
    }
  });

  it("understands binary, structured and batched messages", () => {
    const [event] = decodeMessage(fromSdk(HTTP.binary(theirs).headers, HTTP.binary(theirs).body)).events;
    assert(event);

    for (const message of [encodeBinary(event), encodeStructured(event), encodeBatch([event, event])]) {
      const read = HTTP.toEvent(toSdk(message));

      for (const one of Array.isArray(read) ? read : [read]) {
        assert.deepEqual(JSON.parse(JSON.stringify(one)), {
          specversion: "1.0",
          datacontenttype: "application/json",
          ...facts,
          data,
        });
      }
    }
  });

  it("takes events that its own strict check lets through", () => {
    const [event] = decodeMessage(fromSdk(HTTP.structured(theirs).headers, HTTP.structured(theirs).body)).events;
    assert(event);

    const read = HTTP.toEvent(toSdk(encodeStructured(event)));

    assert(!Array.isArray(read));
    assert.doesNotThrow(() => new SdkEvent(read, true));
  });
});

function fromSdk(headers: SdkHeaders, body: unknown): HttpMessage {
  return {
    headers: Object.entries(headers).flatMap(([name, value]) => [name, String(value)]),
    body: Buffer.from(String(body)),
  };
}

function toSdk({ headers, body }: HttpMessage): { headers: SdkHeaders; body: string } {
  const pairs = Array.from({ length: headers.length / 2 }, (_, i) => [headers[2 * i] ?? "", headers[2 * i + 1] ?? ""]);
  return { headers: Object.fromEntries(pairs), body: Buffer.from(body).toString() };
}
