/**
 * Ingress as a person uses it: the shop behind its host with TLS, by kubectl; and what must go on while pods, certificates and processes are replaced. All in one cluster.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as requestTls } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import type { ClusterStatus, RequestPlace } from "#cli/machine.ts";
import { issueServerCertificate } from "#component-base/certificates.ts";
import { systemClock } from "#component-base/clock.ts";
import { createCa, type KeyPair } from "#component-base/x509.ts";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  repository,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "ingress-e2e";
const host = "shop.example";
const validity = { notBeforeMs: Date.now() - 1000, notAfterMs: Date.now() + 3_600_000 };
const clients = 6;

describe("Ingress", { skip }, () => {
  const ca = createCa({ subject: { commonName: "e2e" }, usages: [], ...validity });
  let cluster: TestCluster;
  let folder = "";
  const kubectl = async (args: string) => (await cluster.kubectl(["-n", "shop", ...args.split(" ")])).stdout;
  const status = async () =>
    JSON.parse((await cluster.nodeless(["status", "--name", name, "-o", "json"])).stdout) as ClusterStatus;
  const findPlace = async (): Promise<RequestPlace | undefined> =>
    (await status()).processes.flatMap(({ listening = [] }) => listening)[0];
  const place = async () => {
    const { address, httpPort = 0, httpsPort = 0 } = await eventually("a place where requests are taken", findPlace);
    return { address, httpPort, httpsPort };
  };
  const pidOf = async (role: string) => (await status()).processes.find((process) => process.role === role)?.pid ?? 0;
  /** Writes certificate and key for the host, as kubectl wants them. */
  const writePair = (): KeyPair => {
    const pair = issueServerCertificate(ca, { commonName: host, addresses: [host], clock: systemClock });
    writeFileSync(join(folder, "tls.crt"), pair.certificate);
    writeFileSync(join(folder, "tls.key"), pair.privateKey);
    return pair;
  };
  /** As `curl --connect-to`: asks for the URL at the place where requests are taken. */
  const ask = async (url: string): Promise<{ readonly status: number; readonly text: string }> => {
    const { address, httpPort, httpsPort } = await place();
    const { protocol, hostname, pathname: path } = new URL(url);
    const to = { host: address, path, headers: { host: hostname }, agent: false, timeout: 10_000 } as const;
    const secure = { ...to, port: httpsPort, servername: hostname, ca: ca.certificate };
    const sent = protocol === "https:" ? requestTls(secure) : request({ ...to, port: httpPort });
    sent.end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    let text = "";
    for await (const piece of response) text += String(piece);
    return { status: response.statusCode ?? 0, text };
  };
  const askHttp2 = async (path: string): Promise<number> => {
    const { address, httpsPort } = await place();
    const client = connectHttp2(`https://${address}:${httpsPort}`, { servername: host, ca: ca.certificate });
    const [headers] = (await once(client.request({ ":authority": host, ":path": path }), "response")) as [
      { ":status": number },
    ];
    client.destroy();
    return headers[":status"];
  };

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "ingress-"));
    writeFileSync(join(folder, "ca.crt"), ca.certificate);
    cluster = await startCluster(name);
    await loadExampleImages(cluster);
    await cluster.kubectl(["apply", "-f", join(repository, "examples/shop")]);
    for (const deployment of ["postgres", "redis", "api", "web"])
      await kubectl(`rollout status deployment/${deployment} --timeout=120s`);
  });
  after(async () => {
    await cluster.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("without an Ingress of our class no port is taken", async () => {
    assert.match(
      (await cluster.kubectl(["get", "ingressclass"])).stdout,
      /nodeless \(default\) +nodeless\.dev\/ingress/,
    );
    await kubectl("create ingress theirs --class=nginx --rule=theirs.example/*=web:80");
    await kubectl("wait --for=jsonpath={.spec.ingressClassName}=nginx ingress/theirs");

    assert.equal(await findPlace(), undefined);
  });

  test("kubectl creates one, which gets the default class and its address; get and describe look as usual", async () => {
    await kubectl(`create ingress shop --rule=${host}/*=web:80,tls=shop-tls`);
    const { address, httpPort } = await place();
    await eventually("the address", async () => (await kubectl("get ingress shop")).includes(address));

    assert.match(
      await kubectl("get ingress shop"),
      new RegExp(
        `NAME +CLASS +HOSTS +ADDRESS +PORTS +AGE\\s+shop +nodeless +shop\\.example +${address} +80, 443 +\\S+`,
      ),
    );
    const port = await kubectl("get ingress shop -o jsonpath={.status.loadBalancer.ingress[0].ports[0].port}");
    assert.equal(Number(port), httpPort);
    const said = await eventually("the missing Secret is told", async () => {
      const text = await kubectl("describe ingress shop");
      return text.includes("SecretNotFound") && text;
    });
    assert.match(
      said,
      /Ingress Class: +nodeless\n[^]*shop-tls terminates shop\.example[^]*shop\.example *\n +\/ +web:80/,
    );
    assert.match(said, /Normal +Sync +\S+ +nodeless-ingress-controller +Scheduled for sync/);
    assert.equal(await kubectl("get ingress theirs -o jsonpath={.status.loadBalancer}"), "{}");
  });

  test("it answers at its host and at its name under localhost, and with TLS by its Secret", async () => {
    assert.match((await ask(`http://${host}/`)).text, /<title>Shop/);
    assert.match((await ask("http://shop.shop.localhost/")).text, /<title>Shop/);
    assert.equal((await ask("http://elsewhere.example/")).status, 404);
    writePair();
    await kubectl(`create secret tls shop-tls --cert=${folder}/tls.crt --key=${folder}/tls.key`);
    await eventually("the certificate", async () => /<title>Shop/.test((await ask(`https://${host}/`)).text));

    assert.equal((await ask(`https://${host}/api/products`)).status, 200);
    assert.equal(await askHttp2("/api/products"), 200);
  });

  test("a Secret that is replaced is shown to new connections, and closes none", async () => {
    const { address, httpsPort } = await place();
    const open = async () => {
      const socket = connect({ host: address, port: httpsPort, servername: host, ca: ca.certificate });
      await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
      return socket;
    };
    const serialOf = (socket: TLSSocket) => socket.getPeerCertificate().serialNumber;
    const socket = await open();
    const before = serialOf(socket);
    writePair();
    const made = ["create", "secret", "tls", "shop-tls", `--cert=${folder}/tls.crt`, `--key=${folder}/tls.key`];
    const manifest = (await cluster.kubectl(["-n", "shop", ...made, "--dry-run=client", "-o", "yaml"])).stdout;
    await cluster.kubectl(["apply", "-f", "-"], { input: manifest });
    await eventually("the new certificate", async () => {
      const next = await open();
      const serial = serialOf(next);
      next.destroy();
      return serial !== before;
    });

    socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    let text = "";
    for await (const piece of socket) text += String(piece);
    assert.match(text, /^HTTP\/1\.1 200 [^]*<title>Shop/);
  });

  test("a rolling update under load loses no request", async () => {
    const load = new Load(await place());
    await kubectl("rollout restart deployment/web deployment/api");
    await kubectl("rollout status deployment/web --timeout=60s");
    await kubectl("rollout status deployment/api --timeout=60s");

    const { answered, failed } = await load.stop();
    assert.deepEqual(failed, []);
    assert.ok(answered > 100, `only ${answered} requests were made`);
  });

  test("a node's process that dies takes what it was answering with it; who connects meanwhile waits, and is answered", async () => {
    const dead = await pidOf("node");
    const load = new Load(await place());
    await load.past(20);
    process.kill(dead, "SIGKILL");
    await eventually("another process", async () => ![0, dead].includes(await pidOf("node")));
    await load.past(60);

    const { failed } = await load.stop();
    assert.ok(failed.length <= clients, failed.join("\n"));
    for (const why of failed) assert.match(why, /ECONNRESET|socket hang up/);
  });

  test("a control plane that dies, and is not there for a while, is missed by no request", async () => {
    const dead = await pidOf("control-plane");
    const load = new Load(await place());
    await load.past(20);
    process.kill(dead, "SIGKILL");
    await eventually("another process", async () => ![0, dead].includes(await pidOf("control-plane")));
    await load.past(60);

    assert.deepEqual((await load.stop()).failed, []);
    await eventually("the API", async () => /shop/.test(await kubectl("get ingress")));
  });

  test("a Service without pods answers 503 and says why, and events tell what is wrong with an Ingress", async () => {
    await kubectl("create service clusterip empty --tcp=80:80");
    const annotation = "--annotation=nginx.ingress.kubernetes.io/limit-rps=5";
    await kubectl(
      `create ingress broken --rule=broken.example/*=empty:80 --rule=broken.example/x*=none:80 ${annotation}`,
    );

    await eventually("the reason", async () => /no endpoint is there/.test((await ask("http://broken.example/")).text));
    const events = await eventually("the events", async () => {
      const text = await kubectl("get events --field-selector involvedObject.name=broken");
      return text.includes("ServiceNotFound") && text;
    });
    assert.match(
      events,
      /UnsupportedAnnotations +ingress\/broken +not followed: nginx\.ingress\.kubernetes\.io\/limit-rps/,
    );
  });

  test("with the last Ingress the ports are given back", async () => {
    await kubectl("delete ingress shop broken");

    await eventually("nobody listens", async () => (await findPlace()) === undefined);
    assert.equal(await kubectl("get roles -o name"), "");
  });
});

/** Clients that ask one request after the other, half of them on kept connections, until they are stopped. */
class Load {
  readonly #failed: string[] = [];
  readonly #place: RequestPlace;
  readonly #loops: Promise<void>[];
  #answered = 0;
  #isOver = false;

  constructor(place: RequestPlace) {
    this.#place = place;
    this.#loops = Array.from({ length: clients }, (_, index) => this.#loop(index % 2 === 0));
  }

  /** Resolves after so many more answers. */
  async past(count: number): Promise<void> {
    const goal = this.#answered + count;
    await eventually(`${count} more answers`, async () => this.#answered >= goal);
  }

  async stop(): Promise<{ readonly answered: number; readonly failed: readonly string[] }> {
    this.#isOver = true;
    await Promise.all(this.#loops);
    return { answered: this.#answered, failed: this.#failed };
  }

  async #loop(isKept: boolean): Promise<void> {
    const agent = new Agent({ keepAlive: isKept, maxSockets: 1 });
    for (let round = 0; !this.#isOver; round++) {
      const answer = await this.#ask(agent, round % 2 === 0 ? "/" : "/api/products");
      if (answer === "200") this.#answered++;
      else this.#failed.push(answer);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    agent.destroy();
  }

  #ask(agent: Agent, path: string): Promise<string> {
    const { address, httpPort = 0 } = this.#place;
    return new Promise((resolve) => {
      const sent = request({ host: address, port: httpPort, path, agent, headers: { host }, timeout: 20_000 });
      sent.on("response", (response) => {
        response.resume().on("end", () => resolve(String(response.statusCode)));
        response.on("error", (error) => resolve(String(error)));
      });
      sent.on("timeout", () => sent.destroy(new Error("no answer within 20 s")));
      sent.on("error", (error) => resolve(`${(error as NodeJS.ErrnoException).code ?? ""} ${error.message}`)).end();
    });
  }
}
