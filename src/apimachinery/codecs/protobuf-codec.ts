/**
 * Kubernetes' protobuf: objects to bytes and back, driven by schemas. Content type application/vnd.kubernetes.protobuf; the envelope around an object is in
 * protobuf-envelope.ts.
 */
import type { StructSchema } from "#apimachinery/schema.ts";
import { ProtobufDecoders } from "./protobuf-decoder.ts";
import { ProtobufEncoders } from "./protobuf-encoder.ts";
import { ProtobufReader } from "./protobuf-reader.ts";
import { ProtobufTranscoder } from "./protobuf-transcoder.ts";
import { ProtobufWriter } from "./protobuf-writer.ts";

/** Keeps the compiled encoders and decoders of the schemas that it has met. One for a process is enough. */
export class ProtobufCodec {
  readonly #encoders = new ProtobufEncoders();
  readonly #decoders = new ProtobufDecoders();
  readonly #transcoder = new ProtobufTranscoder();
  readonly #writer = new ProtobufWriter();

  /** The object's message, without envelope: apiVersion and kind are not in it. Throws 400 for times and durations that are none. */
  encode(schema: StructSchema, object: object): Buffer {
    try {
      this.#encoders.messageOf(schema)(this.#writer, object as Readonly<Record<string, unknown>>);
    } catch (error) {
      this.#writer.take();
      throw error;
    }
    return this.#writer.take();
  }

  /**
   * The message of an object of which only the JSON is at hand, as JSON.stringify wrote it, with `resourceVersion` put into its metadata unless that is "". Several times quicker than parsing and encoding it; undefined where that must be done. Its fields stand in the order of the text.
   */
  encodeText(schema: StructSchema, json: Buffer, resourceVersion: string): Buffer | undefined {
    return this.#transcoder.encode(schema, json, resourceVersion);
  }

  /** The object of a message. `typeMeta` becomes its apiVersion and kind. Throws 400 for bytes that are not this message. */
  decode(
    schema: StructSchema,
    bytes: Uint8Array,
    typeMeta?: { readonly apiVersion: string; readonly kind: string },
  ): Record<string, unknown> {
    return this.#decoders.messageOf(schema).decode(new ProtobufReader(bytes), typeMeta);
  }
}
