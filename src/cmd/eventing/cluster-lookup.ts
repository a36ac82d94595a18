/**
 * Finds hosts as pods do: names of the cluster from its DNS, all others from the machine's resolver.
 */
import { lookup as lookupOnMachine, promises } from "node:dns";
import type { Lookup } from "#eventing/dispatcher/reach.ts";

const clusterDomain = ".cluster.local";
const timeoutMs = 2000;

/** Asks this server about the cluster's names. */
export function clusterLookup(dnsServer: string): Lookup {
  const resolver = new promises.Resolver({ timeout: timeoutMs, tries: 3 });
  resolver.setServers([dnsServer]);
  return (hostname, options, callback) => {
    const name = inCluster(hostname);
    if (name === undefined) return lookupOnMachine(hostname, options, callback);
    void resolver.resolve4(name).then(
      (addresses) => {
        if (options.all)
          callback(
            null,
            addresses.map((address) => ({ address, family: 4 })),
          );
        else callback(null, addresses[0] ?? "", 4);
      },
      (error: NodeJS.ErrnoException) => callback(error, "", 4),
    );
  };
}

/** The whole name, when it is one of the cluster's: "web.default.svc" too. */
function inCluster(hostname: string): string | undefined {
  if (hostname.endsWith(clusterDomain)) return hostname;
  return hostname.endsWith(".svc") ? `${hostname}${clusterDomain}` : undefined;
}
