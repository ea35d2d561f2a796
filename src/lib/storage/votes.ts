/** Votes of blind ratings in this browser; nothing leaves the machine. */
import type { Vote } from '../charts/ratings';
import { openDatabase } from './database';

/** Keeps votes, each in the place of an earlier one of its id: all of them or none. */
export async function saveVotes(votes: readonly Vote[]): Promise<void> {
  const transaction = (await openDatabase()).transaction('votes', 'readwrite', {
    durability: 'strict',
  });
  await Promise.all([...votes.map((vote) => transaction.store.put(vote)), transaction.done]);
}

export async function listVotes(): Promise<Vote[]> {
  return (await openDatabase()).getAll('votes');
}

/** Forgets votes; one that is not there is no error. */
export async function deleteVotes(ids: readonly string[]): Promise<void> {
  const transaction = (await openDatabase()).transaction('votes', 'readwrite');
  await Promise.all([...ids.map((id) => transaction.store.delete(id)), transaction.done]);
}
