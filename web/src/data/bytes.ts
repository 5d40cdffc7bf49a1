/** Reads what `crates/plait-report/src/page/pack.rs` writes: a header of JSON, and columns of whole numbers after it. */

/** Numbers of seven bits a byte, the least significant first; the highest bit says that another byte follows. */
export class Numbers {
  private at: number;

  constructor(
    private readonly bytes: Uint8Array,
    at = 0,
  ) {
    this.at = at;
  }

  /** The next number; exact up to 2^53. */
  next(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new RangeError("the data of this page ends too early");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  /** Hands so many numbers to `put`, each with its place. */
  column(count: number, put: (place: number, value: number) => void): void {
    for (let place = 0; place < count; place += 1) put(place, this.next());
  }
}

/** The bytes that a text of base64 stands for. */
export function unbase64(text: string): Uint8Array<ArrayBuffer> {
  const chars = atob(text);
  const bytes = new Uint8Array(chars.length);
  for (let place = 0; place < chars.length; place += 1) bytes[place] = chars.charCodeAt(place);
  return bytes;
}

/** Undoes DEFLATE, as the browser itself does. */
export async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser cannot unpack the recording; it takes Chrome 103, Firefox 113, Safari 16.4, or a later one");
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The header, and where the columns begin. */
export function unpack(bytes: Uint8Array): { header: unknown; columns: Numbers } {
  if (bytes.length < 4) throw new RangeError("the data of this page ends too early");
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0, true);
  const header: unknown = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  return { header, columns: new Numbers(bytes, 4 + length) };
}
