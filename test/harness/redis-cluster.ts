import { freePort } from './port.ts';
import { type Redis, startRedis } from './redis.ts';
import { eventually } from './wait.ts';

const slots = 16_384;

export interface RedisCluster extends AsyncDisposable {
  /** Comma list of all nodes, as `REDIS_URL` takes it. */
  readonly url: string;
  readonly primaries: readonly Redis[];
  /** In the order of the primaries they follow, round after round. */
  readonly replicas: readonly Redis[];
  readonly flush: () => Promise<void>;
}

export interface RedisClusterOptions {
  /** @default 3 */
  readonly primaries?: number;
  /** Replicas of each primary. @default 0 */
  readonly replicas?: number;
  /** After which a silent node counts as gone. @default 2,000 ms */
  readonly nodeTimeoutMs?: number;
}

/** Starts a real Redis Cluster and waits until every node knows it whole. */
export async function startCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { primaries: primaryCount = 3, replicas: perPrimary = 0, nodeTimeoutMs = 2_000 } = options;
  const nodes: Node[] = [];
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
  };
  try {
    for (let i = 0; i < primaryCount * (1 + perPrimary); i++) nodes.push(await startNode(nodeTimeoutMs));
    const primaries = nodes.slice(0, primaryCount);
    const replicas = nodes.slice(primaryCount);
    await join(primaries, nodes);
    for (const [i, replica] of replicas.entries()) {
      const id = String(await primaries[i % primaryCount]!.command('CLUSTER', 'MYID'));
      await eventually(() => replica.command('CLUSTER', 'REPLICATE', id), { what: 'a replica to know its primary' });
    }
    await Promise.all(nodes.map((node) => isWhole(node, nodes.length, replicas.length)));
    return {
      url: nodes.map((node) => node.url).join(','),
      primaries,
      replicas,
      flush: async () => {
        await Promise.all(primaries.map((node) => node.flush()));
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

interface Node extends Redis {
  readonly busPort: number;
}

async function startNode(nodeTimeoutMs: number): Promise<Node> {
  const busPort = await freePort();
  const flags = ['--cluster-enabled', 'yes', '--cluster-node-timeout', String(nodeTimeoutMs)];
  return { ...(await startRedis({ flags: [...flags, '--cluster-port', String(busPort)] })), busPort };
}

async function join(primaries: readonly Node[], nodes: readonly Node[]): Promise<void> {
  const first = primaries[0]!;
  for (const [i, node] of primaries.entries()) {
    const from = Math.floor((i * slots) / primaries.length);
    const to = Math.floor(((i + 1) * slots) / primaries.length) - 1;
    await node.command('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to));
    // Different from the start, so that nodes need not settle a collision of their epochs.
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1));
  }
  for (const node of nodes) {
    if (node === first) continue;
    await first.command('CLUSTER', 'MEET', '127.0.0.1', String(node.port), String(node.busPort));
  }
}

async function isWhole(node: Redis, known: number, replicas: number): Promise<void> {
  await eventually(
    async () => {
      const info = String(await node.command('CLUSTER', 'INFO'));
      const list = String(await node.command('CLUSTER', 'NODES'));
      const following = list.split('\n').filter((line) => /\bslave\b/.test(line)).length;
      return (
        info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${known}`) && following === replicas
      );
    },
    { what: 'the cluster to be whole' },
  );
}
