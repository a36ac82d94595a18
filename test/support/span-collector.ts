/**
 * A collector of spans for tests: OTLP over HTTP with JSON.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";

/** A span, as OTLP has it, with the service that sent it. */
export type CollectedSpan = {
  readonly by: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
};

type Document = {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[];
    };
    readonly scopeSpans: readonly { readonly spans: readonly Omit<CollectedSpan, "by">[] }[];
  }[];
};

/** Close it at the end. */
export class SpanCollector {
  readonly #server: Server;
  readonly spans: CollectedSpan[] = [];
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(): Promise<SpanCollector> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        if (request.url !== "/v1/traces") return void response.writeHead(404).end();
        collector.#take(JSON.parse(Buffer.concat(chunks).toString()) as Document);
        response.writeHead(200, { "content-type": "application/json" }).end("{}");
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const collector = new SpanCollector(server, (server.address() as { readonly port: number }).port);
    return collector;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #take({ resourceSpans }: Document): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const by = resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue ?? "";
      for (const { spans } of scopeSpans) this.spans.push(...spans.map((span) => ({ ...span, by })));
    }
  }
}
