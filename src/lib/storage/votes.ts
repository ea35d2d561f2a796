/** Votes of blind ratings in this browser; nothing leaves the machine. */
import { isVote, type Vote } from '../charts/ratings';
import { openDatabase } from './database';

/** Keeps votes, each in the place of an earlier one of its id: all of them or none. */
export async function saveVotes(votes: readonly Vote[]): Promise<void> {
  const transaction = (await openDatabase()).transaction('votes', 'readwrite', {
    durability: 'strict',
  });
  await Promise.all([...votes.map((vote) => transaction.store.put(vote)), transaction.done]);
}

/** What another version has kept and this one cannot read stays, and is not listed. */
export async function listVotes(): Promise<Vote[]> {
  const kept: unknown[] = await (await openDatabase()).getAll('votes');
  return kept.filter(isVote);
}

/** Forgets votes; one that is not there is no error. */
export async function deleteVotes(ids: readonly string[]): Promise<void> {
  const transaction = (await openDatabase()).transaction('votes', 'readwrite');
  await Promise.all([...ids.map((id) => transaction.store.delete(id)), transaction.done]);
}
