import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { hostsFile, resolvConf } from "./etc-files.ts";

const node = { clusterDns: ["10.43.0.10"], clusterDomain: "cluster.local" };
const host = "search corp.example\nnameserver 192.168.1.1\noptions timeout:1\n";

describe("a pod's /etc/hosts", () => {
  it("names the pod, in its subdomain, and the aliases", () => {
    const hostAliases = [{ ip: "1.2.3.4", hostnames: ["foo", "bar"] }];
    const text = hostsFile(
      podOf("web", [{}], { hostname: "h1", subdomain: "sub", hostAliases }),
      ["10.42.0.7"],
      "cluster.local",
      "",
    );

    assert.match(text, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
    assert.match(text, /^10\.42\.0\.7\th1\.sub\.default\.svc\.cluster\.local\th1$/m);
    assert.ok(text.endsWith("\n# Entries added by HostAliases.\n1.2.3.4\tfoo\tbar\n"));
  });

  it("is the node's own for a pod on its network", () => {
    const text = hostsFile(podOf("web", [{}], { hostNetwork: true }), [], "cluster.local", "127.0.0.1 localhost\n");
    assert.equal(text, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n");
  });
});

describe("a pod's /etc/resolv.conf", () => {
  it("asks the cluster first, and searches the pod's namespace", () => {
    assert.equal(
      resolvConf(podOf("web", [{}]), node, host),
      "search default.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.43.0.10\noptions ndots:5\n",
    );
  });

  it("is the node's with policy Default, and on the node's network without ClusterFirstWithHostNet", () => {
    const own = "search corp.example\nnameserver 192.168.1.1\noptions timeout:1\n";
    assert.equal(resolvConf(podOf("web", [{}], { dnsPolicy: "Default" }), node, host), own);
    assert.equal(resolvConf(podOf("web", [{}], { hostNetwork: true }), node, host), own);
    const with2 = resolvConf(
      podOf("web", [{}], { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }),
      node,
      host,
    );
    assert.match(with2, /nameserver 10\.43\.0\.10/);
  });

  it("is the pod's own with policy None, and takes what dnsConfig adds", () => {
    const dnsConfig = {
      nameservers: ["1.1.1.1"],
      searches: ["my.search"],
      options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
    };
    assert.equal(
      resolvConf(podOf("web", [{}], { dnsPolicy: "None", dnsConfig }), node, host),
      "search my.search\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
    );
    assert.match(
      resolvConf(podOf("web", [{}], { dnsConfig }), node, host),
      /nameserver 10\.43\.0\.10\nnameserver 1\.1\.1\.1\noptions ndots:2 edns0/,
    );
  });
});
