/**
 * Answers one DNS question: from the cluster's records, by following names out of it, or by asking the resolvers of the machine.
 */
import type { Answer, Packet, Question, SoaAnswer } from "dns-packet";
import type { ClusterRecords, RecordData } from "./cluster-records.ts";

/** Asks the world outside the cluster. Throws when no resolver answers. */
export type Forward = (question: Question) => Promise<Packet>;

/** What to answer: the parts of a packet that are not the asker's. */
export type Resolution = {
  readonly rcode: "NOERROR" | "NXDOMAIN" | "SERVFAIL" | "REFUSED" | "NOTIMP";
  readonly isAuthoritative: boolean;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  readonly additionals: readonly Answer[];
  /** From what was known last, while the truth cannot be had. */
  readonly isStale?: boolean;
};

/** What the records say: what is, what was when the API was last heard, or nothing yet. */
export type Knowledge = "current" | "last-known" | "none";

/** How long answers may be kept, in seconds. Short, because endpoints come and go. */
const ttlSeconds = 5;

const failure: Resolution = {
  rcode: "SERVFAIL",
  isAuthoritative: false,
  answers: [],
  authorities: [],
  additionals: [],
};

/** Longest chain of CNAMEs that is followed. */
const maxChain = 8;

/** What a resolver works with. */
export type ResolverOptions = {
  readonly zone: string;
  readonly records: ClusterRecords;
  readonly forward: Forward;
  /** Resolves when the records can be asked, or with "none" when that takes too long: nothing of the cluster's can be said not to exist then. Default: current. */
  readonly knowledge?: () => Promise<Knowledge>;
};

/** Resolves names for the pods of a cluster. */
export class Resolver {
  readonly #zone: string;
  readonly #records: ClusterRecords;
  readonly #forward: Forward;
  readonly #knowledge: () => Promise<Knowledge>;

  constructor(options: ResolverOptions) {
    this.#zone = options.zone;
    this.#records = options.records;
    this.#forward = options.forward;
    this.#knowledge = options.knowledge ?? (async () => "current");
  }

  /** The answer to a question; never throws. */
  async resolve(question: Question): Promise<Resolution> {
    const name = normalise(question.name);
    const isOwn = this.#records.owns(name);
    const address = isOwn ? undefined : addressOfReverseName(name);
    if (!isOwn && address === undefined) return await this.#ask(question);
    const knowledge = await this.#knowledge();
    if (knowledge === "none") return failure;
    const resolution = await (address === undefined
      ? this.#resolveOwn(question, name)
      : this.#resolveAddress(question, address));
    return knowledge === "last-known" && resolution.isAuthoritative ? { ...resolution, isStale: true } : resolution;
  }

  async #resolveAddress(question: Question, address: string): Promise<Resolution> {
    const names = this.#records.findByAddress(address);
    if (names.length === 0 || question.type !== "PTR") return await this.#ask(question);
    return found(names.map((data) => ({ type: "PTR", name: question.name, ttl: ttlSeconds, data })));
  }

  async #resolveOwn(question: Question, name: string, depth = 0): Promise<Resolution> {
    const records = this.#records.find(name);
    if (records === undefined) return this.#nothing("NXDOMAIN");
    const alias = records.find((record) => record.type === "CNAME");
    if (alias?.type === "CNAME" && question.type !== "CNAME") return await this.#follow(question, alias.data, depth);
    const wanted = records.filter((record) => record.type === question.type || (question.type as string) === "ANY");
    if (wanted.length === 0) return this.#nothing("NOERROR");
    const targets = [...new Set(wanted.flatMap((record) => (record.type === "SRV" ? [record.target] : [])))];
    return {
      ...found(wanted.map((record) => toAnswer(question.name, record, wanted.length))),
      additionals: targets.flatMap((target) => this.#addressesOf(target)),
    };
  }

  /** The records of a Service of type ExternalName: the alias, and what it leads to. */
  async #follow(question: Question, target: string, depth: number): Promise<Resolution> {
    const alias: Answer = { type: "CNAME", name: question.name, ttl: ttlSeconds, data: target };
    if (depth >= maxChain) return { ...this.#nothing("SERVFAIL"), answers: [alias] };
    const next = { ...question, name: target };
    const name = normalise(target);
    const end = this.#records.owns(name) ? await this.#resolveOwn(next, name, depth + 1) : await this.#ask(next);
    // The alias itself is true even when nobody knows its target.
    return {
      ...end,
      rcode: end.rcode === "SERVFAIL" ? "NOERROR" : end.rcode,
      isAuthoritative: true,
      answers: [alias, ...end.answers],
    };
  }

  #addressesOf(name: string): Answer[] {
    const records = this.#records.find(name) ?? [];
    return records
      .filter((record) => record.type === "A" || record.type === "AAAA")
      .map((record) => toAnswer(name, record, 1));
  }

  async #ask(question: Question): Promise<Resolution> {
    try {
      const reply = (await this.#forward(question)) as Packet & { readonly rcode?: string };
      return {
        rcode: (reply.rcode ?? "NOERROR") as Resolution["rcode"],
        isAuthoritative: false,
        answers: reply.answers ?? [],
        authorities: reply.authorities ?? [],
        additionals: (reply.additionals ?? []).filter(({ type }) => (type as string) !== "OPT"),
      };
    } catch {
      return failure;
    }
  }

  #nothing(rcode: Resolution["rcode"]): Resolution {
    const soa: SoaAnswer = {
      type: "SOA",
      name: this.#zone,
      ttl: ttlSeconds,
      data: {
        mname: `ns.dns.${this.#zone}`,
        rname: `hostmaster.${this.#zone}`,
        serial: 1,
        refresh: 7200,
        retry: 1800,
        expire: 86_400,
        minimum: ttlSeconds,
      },
    };
    return { rcode, isAuthoritative: true, answers: [], authorities: [soa], additionals: [] };
  }
}

function found(answers: readonly Answer[]): Resolution {
  return { rcode: "NOERROR", isAuthoritative: true, answers, authorities: [], additionals: [] };
}

function toAnswer(name: string, record: RecordData, count: number): Answer {
  if (record.type !== "SRV") return { type: record.type, name, ttl: ttlSeconds, data: record.data } as Answer;
  // Weights of one priority add up to 100, as CoreDNS spreads them.
  const data = { priority: 0, weight: Math.max(1, Math.floor(100 / count)), port: record.port, target: record.target };
  return { type: "SRV", name, ttl: ttlSeconds, data };
}

function normalise(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

/** "7.0.42.10.in-addr.arpa" → "10.42.0.7"; the same for ip6.arpa. Undefined for other names. */
export function addressOfReverseName(name: string): string | undefined {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (v4) return `${v4[4]}.${v4[3]}.${v4[2]}.${v4[1]}`;
  if (!/^([0-9a-f]\.){32}ip6\.arpa$/.test(name)) return undefined;
  const digits = name.slice(0, 63).split(".").toReversed().join("");
  return digits.match(/.{4}/g)?.join(":");
}
