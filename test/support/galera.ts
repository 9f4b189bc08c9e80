import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "mocha";
import { createConnection, type RowDataPacket } from "mysql2/promise";
import { freePort } from "./free-port.ts";
import { type PrivateMariadb, startMariadb } from "./mariadb.ts";
import { findServer } from "./mariadb-files.ts";
import { until } from "./until.ts";

const PROVIDERS = ["/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so"];
const SYNC_TIMEOUT_MS = 30_000;

/** Several MariaDB servers on loopback, each of which accepts writes: Galera replicates them before they are acknowledged. */
export interface Galera {
  readonly nodes: readonly PrivateMariadb[];
  /** Resolves once every node has applied all commits made before this call. */
  synced(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a cluster that the spec has to stop. Skips the suite, with a title that says why, if Galera is not installed. */
export async function ownGalera(context: Context, nodeCount: number): Promise<Galera> {
  const provider = PROVIDERS.find((path) => existsSync(path));
  if (provider === undefined || findServer()?.kind !== "mariadb") {
    const skipped = context.currentTest ?? context.test;
    if (skipped !== undefined) skipped.title += " (needs galera-4, and mariadbd as the server)";
    context.skip();
  }
  return startGalera(provider, nodeCount);
}

async function startGalera(provider: string, nodeCount: number): Promise<Galera> {
  const nodes: PrivateMariadb[] = [];
  const stop = async () => {
    for (const node of nodes.reverse()) await node.stop();
  };
  try {
    const ports = await Promise.all(Array.from({ length: nodeCount }, freePort));
    for (const port of ports) {
      const [first] = nodes;
      const options = await nodeArgs(provider, port, first === undefined ? undefined : ports[0]);
      if (first === undefined) {
        nodes.push(await startMariadb({ extraArgs: options }));
        continue;
      }
      // All begin with the same tables, so that no state transfer is needed: a new node claims the position of the first.
      const { uuid, seqno } = await stateOf(first);
      const state = `version: 2.1\nuuid: ${uuid}\nseqno: ${seqno}\nsafe_to_bootstrap: 0\n`;
      nodes.push(
        await startMariadb({
          extraArgs: options,
          prepare: (folder) => writeFile(join(folder, "grastate.dat"), state),
        }),
      );
    }
    await until(async () => (await Promise.all(nodes.map(stateOf))).every(({ size }) => size === nodeCount), {
      withinMs: SYNC_TIMEOUT_MS,
      what: "all nodes have joined",
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    nodes,
    stop,
    async synced() {
      const target = Math.max(...(await Promise.all(nodes.map(stateOf))).map(({ seqno }) => seqno));
      await until(async () => (await Promise.all(nodes.map(stateOf))).every(({ seqno }) => seqno >= target), {
        withinMs: SYNC_TIMEOUT_MS,
        what: "all nodes have caught up",
      });
    },
  };
}

async function nodeArgs(provider: string, port: number, first: number | undefined): Promise<string[]> {
  return [
    "--wsrep-on=ON",
    `--wsrep-provider=${provider}`,
    `--wsrep-cluster-address=gcomm://${first === undefined ? "" : `127.0.0.1:${first}`}`,
    `--wsrep-node-address=127.0.0.1:${port}`,
    `--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:${port};ist.recv_addr=127.0.0.1:${await freePort()};gcache.size=16M`,
    "--wsrep-sst-method=skip",
    "--binlog-format=ROW",
    "--innodb-autoinc-lock-mode=2",
  ];
}

async function stateOf(node: PrivateMariadb): Promise<{ uuid: string; seqno: number; size: number }> {
  const connection = await createConnection({ uri: node.url(), connectTimeout: 5000 });
  try {
    const [rows] = await connection.query<RowDataPacket[]>("SHOW GLOBAL STATUS LIKE 'wsrep%'");
    const of = (name: string) => String(rows.find((row) => row.Variable_name === name)?.Value);
    return {
      uuid: of("wsrep_cluster_state_uuid"),
      seqno: Number(of("wsrep_last_committed")),
      size: Number(of("wsrep_cluster_size")),
    };
  } finally {
    connection.destroy();
  }
}
