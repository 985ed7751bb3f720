import { Finding, LeftOut } from '../finding.ts';
import { type Answer, tell } from '../http.ts';
import type { Visit } from '../visit.ts';

export async function checkIsolation({ http, callers, makeTopic, publish, authDisabled }: Visit): Promise<string> {
  if (authDisabled) throw new LeftOut('authentication is disabled: there is only one user');
  const { first, second } = callers;
  if (second === null) throw new LeftOut('wants a second user: --other-token, or --jwt-secret');
  if (second.userId !== null && second.userId === first.userId) {
    throw new LeftOut('wants two users: both tokens are of the same');
  }
  const topic = await makeTopic();
  await publish(topic, 'agent_started');
  const looks: [string, (topic: string) => Promise<Answer>][] = [
    ['topic.poll', (it) => http.query('topic.poll', { topic: it }, second)],
    ['topic.history', (it) => http.query('topic.history', { topic: it }, second)],
    ['topic.state', (it) => http.query('topic.state', { topic: it }, second)],
    ['presence.list', (it) => http.query('presence.list', { topic: it }, second)],
  ];
  for (const [name, look] of looks) {
    const theirs = await look(topic);
    if (theirs.refusal?.code !== 'TOPIC_UNKNOWN') {
      const hint = 'The second user sees the first one’s topic. Does its token grant patterns (claim "topics")?';
      throw new Finding(`${name} of another user's topic was answered ${tell(theirs)}, not 404 TOPIC_UNKNOWN`, hint);
    }
    const none = await look(`${topic}-not-there`);
    if (none.status !== theirs.status || none.refusal?.message !== theirs.refusal.message) {
      throw new Finding(`${name} tells a topic that is another's from one that is not there: ${tell(none)}`);
    }
  }
  if (first.userId !== null) {
    const own = await http.query('topic.poll', { topic: `user:${first.userId}` }, second);
    if (own.refusal?.code !== 'TOPIC_UNKNOWN')
      throw new Finding(`user:<first> was answered ${tell(own)} to the second user`);
  }
  return `the second user is told of the first one's topic what is told of one that is not there`;
}
