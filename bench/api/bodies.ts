/**
 * What is written: a small ConfigMap, and a pod of two containers as Deployments make them. As JSON texts.
 */

export function configMap(name: string): string {
  const labels = { app: "bench", tier: "web" };
  return JSON.stringify({ metadata: { name, labels }, data: { a: "x".repeat(300), b: "y".repeat(300) } });
}

/** For server-side apply: JSON is YAML. */
export function applied(name: string): string {
  return JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", ...JSON.parse(configMap(name)) });
}

export function pod(name: string): string {
  const container = (index: number) => ({
    name: `c${index}`,
    image: "registry.example.com/team/app:1.2.3",
    args: ["--port=8080", "--level=info"],
    env: Array.from({ length: 8 }, (_, i) => ({ name: `VARIABLE_${i}`, value: `value-${i}` })),
    ports: [{ containerPort: 8080 + index, name: `http${index}` }],
    resources: { requests: { cpu: "100m", memory: "128Mi" }, limits: { cpu: "1", memory: "256Mi" } },
    readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 10 },
    volumeMounts: [{ name: "data", mountPath: "/data" }],
  });
  const metadata = { name, labels: { app: "bench", tier: "web" } };
  const volumes = [{ name: "data", emptyDir: {} }];
  return JSON.stringify({ metadata, spec: { nodeName: "n1", containers: [container(0), container(1)], volumes } });
}
