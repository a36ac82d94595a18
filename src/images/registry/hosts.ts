/**
 * What the machine's registry is called by images: "localhost:5000". Each cluster leaves a note of the address at which it serves the registry, in the folder that all of them
 * share; it counts as long as the cluster exists, also while it is down.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ifThere } from "#component-base/missing-file.ts";
import { writeDurably } from "./durable-files.ts";
import { namesIn } from "./repository.ts";

/** A cluster's note. */
export type RegistryHosts = {
  /** Where it listens, or did last: "127.0.0.1:5000". */
  readonly address: string;
  /** Where pods reach it, with a token: "10.42.255.1:5000". */
  readonly podAddress?: string;
  /** All names that mean it. */
  readonly hosts: readonly string[];
  /** It counts as long as this path exists. */
  readonly path: string;
};

/** Leaves the cluster's note, in the place of the one before. `imagesFolder` is the store's. */
export async function announceHosts(imagesFolder: string, cluster: string, hosts: RegistryHosts): Promise<void> {
  const folder = hostsFolder(imagesFolder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeDurably(join(folder, `${cluster}.json`), JSON.stringify(hosts), join(folder, ".."));
}

/** The cluster's note, if it left one. */
export async function announcedHosts(imagesFolder: string, cluster: string): Promise<RegistryHosts | undefined> {
  const text = await ifThere(readFile(join(hostsFolder(imagesFolder), `${cluster}.json`), "utf8"), "");
  return text === "" ? undefined : (JSON.parse(text) as RegistryHosts);
}

/** All names that mean the machine's own registry. */
export async function ownHosts(imagesFolder: string): Promise<readonly string[]> {
  const names = (await namesIn(hostsFolder(imagesFolder))).filter((name) => name.endsWith(".json"));
  const notes = await Promise.all(names.map((name) => announcedHosts(imagesFolder, name.replace(/\.json$/, ""))));
  return notes.flatMap((note) => (note && existsSync(note.path) ? note.hosts : []));
}

/** Whether a registry of this name is the machine's own. */
export async function isOwnHost(imagesFolder: string, host: string): Promise<boolean> {
  return (await ownHosts(imagesFolder)).includes(host);
}

function hostsFolder(imagesFolder: string): string {
  return join(imagesFolder, "registry", "hosts");
}
