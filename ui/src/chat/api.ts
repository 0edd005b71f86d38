import type { AnswerRequest } from '../bindings/AnswerRequest';
import type { Answering } from '../bindings/Answering';
import type { Chat } from '../bindings/Chat';
import type { ChatChange } from '../bindings/ChatChange';
import type { ChatEntry } from '../bindings/ChatEntry';
import type { ExportForm } from '../bindings/ExportForm';
import type { Hit } from '../bindings/Hit';
import type { Imported } from '../bindings/Imported';

/** What the window asks of the kept chats; every promise rejects with a sentence. */
export interface ChatsApi {
  /** Pinned ones first, then the latest. */
  list(): Promise<ChatEntry[]>;
  /** Null opens the chat that was open last. */
  open(chat: number | null): Promise<Chat>;
  /** Opens the chat without messages. */
  create(): Promise<Chat>;
  /** Opens the branch that goes through a message. */
  branch(message: number): Promise<Chat>;
  change(chat: number, change: ChatChange): Promise<void>;
  search(words: string): Promise<Hit[]>;
  /** Rises when another window changed something. */
  foreignChanges(): Promise<number>;
  /** Asks where to; null writes all chats. Null if the person changed their mind. */
  exportTo(chat: number | null, form: ExportForm): Promise<string | null>;
  /** Asks for a file; null if the person changed their mind. */
  importFile(): Promise<Imported | null>;
  importText(text: string): Promise<Imported>;
  /** On disk before the engine is asked. */
  answer(asked: AnswerRequest): Promise<Answering>;
}
