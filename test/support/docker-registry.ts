/**
 * Debian's docker-registry for tests: open, or over TLS with passwords (htpasswd) or tokens, and pushing to it as a builder would.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "#component-base/testing/free-port.ts";
import { Agent, fetch } from "undici";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { createCa, type KeyPair } from "#component-base/x509.ts";
import { digestOf } from "#images/blobs.ts";
import type { ImageConfig, ImageIndex, ImageManifest } from "#images/oci.ts";
import { findProgram } from "#runtime/machine.ts";

const cached = resolve(import.meta.dirname, "../../.cache/debian/usr/bin/docker-registry");

/** Whom the registry lets in, where it asks. */
export const registryUser = { username: "reader", password: "opensesame" } as const;

// bcrypt of registryUser's password, the only form that the registry takes.
const passwords = "reader:$2y$05$abcdefghijklmnopqrstuuQbLfdQZSxZ9gjhA5V9o8Tyc6aQRO0Qi\n";

/** Where the program is; undefined where it is missing. */
export function findDockerRegistry(): string | undefined {
  return existsSync(cached) ? cached : findProgram("docker-registry", process.env["PATH"] ?? "");
}

export type DockerRegistry = {
  /** "10.0.0.1:5000". */
  readonly address: string;
  /** File with the authority that signed the registry's certificate; only with `access`. */
  readonly caFile: string | undefined;
  /** Puts an OCI layout's first image there; with a label it is another image of the same layers. Gives its manifest's digest. */
  readonly push: (layout: string, repository: string, tag: string, label?: string) => Promise<string>;
  readonly stop: () => Promise<void>;
};

export type DockerRegistryOptions = {
  /** Address of this machine. */
  readonly host: string;
  /** Over TLS, for {@link registryUser} alone. Absent: plain HTTP for everybody. */
  readonly access?: "passwords" | "tokens";
};

/** Starts one. Stop it at the end of the test. */
export async function startDockerRegistry({ host, access }: DockerRegistryOptions): Promise<DockerRegistry> {
  const program = findDockerRegistry();
  if (program === undefined) throw new Error("docker-registry is not on this machine");
  const folder = mkdtempSync(join(tmpdir(), "nodeless-registry-"));
  const address = `${host}:${await freePort(host)}`;
  const pki = access === undefined ? undefined : writePki(folder, host);
  const tokens = access === "tokens" && pki ? await startTokenServer(host, pki.signer) : undefined;
  const configuration = {
    version: 0.1,
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: folder } },
    http: { addr: address, ...(pki && { tls: { certificate: pki.certificateFile, key: pki.keyFile } }) },
    ...(access === "passwords" && {
      auth: { htpasswd: { realm: "test", path: write(folder, "htpasswd", passwords) } },
    }),
    ...(tokens && { auth: { token: { ...tokens.settings, rootcertbundle: pki?.caFile } } }),
  };
  const child = spawn(program, ["serve", write(folder, "config.yml", JSON.stringify(configuration))], {
    stdio: "ignore",
  });
  const client = new RegistryWriter(`${pki ? "https" : "http"}://${address}`, pki?.ca.certificate, tokens?.issue);
  await client.answers();
  return {
    address,
    caFile: pki?.caFile,
    push: (...image) => client.push(...image),
    async stop() {
      await client.close();
      tokens?.server.closeAllConnections();
      tokens?.server.close();
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill();
  await once(child, "exit");
}

function write(folder: string, name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function writePki(folder: string, host: string) {
  const now = systemClock.now();
  const times = { notBeforeMs: now - 60_000, notAfterMs: now + 86_400_000 };
  const ca = createCa({ subject: { commonName: "registry-ca" }, usages: ["cert sign", "digital signature"], ...times });
  const issue = (commonName: string) =>
    issueServerCertificate(ca, { commonName, addresses: [host], clock: systemClock, validDays: 1 });
  const server = issue("registry");
  return {
    ca,
    signer: issue("tokens"),
    caFile: write(folder, "ca.crt", ca.certificate),
    certificateFile: write(folder, "server.crt", server.certificate),
    keyFile: write(folder, "server.key", server.privateKey),
  };
}

/** The registry's token protocol: whoever knows the password gets a signed token for what the registry asked for. */
async function startTokenServer(host: string, signer: KeyPair) {
  const issuer = "test-issuer";
  const service = "test-registry";
  const issue = (scopes: readonly string[], actions?: readonly string[]) => {
    const access = scopes.map((scope) => {
      const [type, name, asked = ""] = scope.split(":");
      return { type, name, actions: actions ?? asked.split(",").filter((action) => action === "pull") };
    });
    const seconds = Math.floor(Date.now() / 1000);
    return signToken(signer, {
      iss: issuer,
      aud: service,
      sub: registryUser.username,
      iat: seconds - 60,
      nbf: seconds - 60,
      exp: seconds + 600,
      jti: String(seconds),
      access,
    });
  };
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    const pair = Buffer.from(request.headers.authorization?.replace(/^Basic /, "") ?? "", "base64").toString();
    if (pair !== `${registryUser.username}:${registryUser.password}`)
      return void response.writeHead(401).end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "no" }] }));
    const scopes = new URL(request.url ?? "/", "http://tokens").searchParams.getAll("scope");
    response.end(JSON.stringify({ token: issue(scopes) }));
  };
  const server: Server = createHttpServer(serve).listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  return { server, issue, settings: { realm: `http://${host}:${port}/token`, service, issuer } };
}

function signToken({ certificate, privateKey }: KeyPair, claims: object): string {
  const chain = [new X509Certificate(certificate).raw.toString("base64")];
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ typ: "JWT", alg: "ES256", x5c: chain })}.${part(claims)}`;
  const key = { key: createPrivateKey(privateKey), dsaEncoding: "ieee-p1363" } as const;
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
}

type IssueToken = (scopes: readonly string[], actions: readonly string[]) => string;

class RegistryWriter {
  readonly #base: string;
  readonly #agent: Agent;
  readonly #issue: IssueToken | undefined;

  constructor(base: string, ca: string | undefined, issue: IssueToken | undefined) {
    this.#base = base;
    this.#agent = new Agent(ca === undefined ? {} : { connect: { ca } });
    this.#issue = issue;
  }

  async answers(): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await fetch(`${this.#base}/v2/`, { dispatcher: this.#agent });
        return;
      } catch (error) {
        if (tries === 200) throw error;
        await new Promise((wake) => setTimeout(wake, 50));
      }
    }
  }

  async push(layout: string, repository: string, tag: string, label?: string): Promise<string> {
    const { manifest, blobs, digest } = labelled(readLayout(layout), label);
    for (const [name, bytes] of blobs) await this.#pushBlob(repository, name, bytes);
    const target = `${this.#base}/v2/${repository}/manifests/${tag}`;
    const { mediaType = "" } = JSON.parse(manifest.toString()) as ImageManifest;
    await this.#send(repository, "PUT", target, { headers: { "content-type": mediaType }, body: manifest });
    return digest;
  }

  close(): Promise<void> {
    return this.#agent.close();
  }

  async #pushBlob(repository: string, digest: string, bytes: Buffer): Promise<void> {
    const begun = await this.#send(repository, "POST", `${this.#base}/v2/${repository}/blobs/uploads/`, {});
    const target = new URL(begun ?? "", this.#base);
    target.searchParams.set("digest", digest);
    await this.#send(repository, "PUT", target.href, {
      body: bytes,
      headers: { "content-type": "application/octet-stream" },
    });
  }

  /** Gives the answer's location. */
  async #send(
    repository: string,
    method: string,
    url: string,
    { headers = {}, body }: { readonly headers?: Record<string, string>; readonly body?: Buffer },
  ): Promise<string | null> {
    const { username, password } = registryUser;
    const authorization = this.#issue
      ? `Bearer ${this.#issue([`repository:${repository}:`], ["pull", "push"])}`
      : `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
    const response = await fetch(url, {
      method,
      dispatcher: this.#agent,
      headers: { ...headers, authorization },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
    return response.headers.get("location");
  }
}

type Pushed = { readonly manifest: Buffer; readonly digest: string; readonly blobs: ReadonlyMap<string, Buffer> };

function readLayout(layout: string): Pushed {
  const blob = (digest: string): Buffer => readFileSync(join(layout, "blobs", "sha256", digest.slice(7)));
  const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as ImageIndex;
  const digest = index.manifests[0]?.digest ?? "";
  const manifest = blob(digest);
  const { config, layers } = JSON.parse(manifest.toString()) as ImageManifest;
  return { manifest, digest, blobs: new Map([config, ...layers].map((part) => [part.digest, blob(part.digest)])) };
}

function labelled(image: Pushed, label: string | undefined): Pushed {
  if (label === undefined) return image;
  const document = JSON.parse(image.manifest.toString()) as ImageManifest;
  const before = JSON.parse(image.blobs.get(document.config.digest)?.toString() ?? "") as ImageConfig;
  const config = Buffer.from(JSON.stringify({ ...before, config: { ...before.config, Labels: { test: label } } }));
  const descriptor = { ...document.config, digest: digestOf(config), size: config.length };
  const manifest = Buffer.from(JSON.stringify({ ...document, config: descriptor }));
  const blobs = new Map([...image.blobs].filter(([digest]) => digest !== document.config.digest));
  return { manifest, digest: digestOf(manifest), blobs: blobs.set(descriptor.digest, config) };
}
