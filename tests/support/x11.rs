//! What a person does where WebDriver does not reach: the cross of a window, and the
//! Enter key in a dialog of the desktop. Over the X11 protocol (X Window System
//! Protocol, version 11; `WM_DELETE_WINDOW` of the Inter-Client Communication
//! Conventions Manual; the XTEST extension, version 2.2).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// A connection to a display without access control, such as a fresh Xvfb.
struct X11 {
    stream: UnixStream,
    root: u32,
}

/// Asks the window of the application on `display` (such as `:1`) to close.
pub fn close_window(display: &str) {
    let mut x = X11::connect(display);
    let protocols = x.atom("WM_PROTOCOLS");
    let delete = x.atom("WM_DELETE_WINDOW");
    let closable = x.visible();
    assert_eq!(closable.len(), 1, "one window can be closed");
    x.send(closable[0], protocols, delete);
}

/// Windows on `display` that a person sees.
pub fn visible_windows(display: &str) -> usize {
    X11::connect(display).visible().len()
}

/// Presses Enter in the window that lies on top of the others.
pub fn press_enter_on_top(display: &str) {
    let mut x = X11::connect(display);
    let top = *x.visible().last().expect("a window");
    // SetInputFocus: no window manager gives a dialog the keyboard here.
    let focus = [top, 0].map(u32::to_le_bytes).concat();
    x.request(42, 1, &focus);
    x.press(ENTER);
}

/// Of the Enter key of every PC's keyboard under X11.
const ENTER: u8 = 36;

impl X11 {
    fn connect(display: &str) -> X11 {
        let number = display.trim_start_matches(':');
        let mut stream = UnixStream::connect(format!("/tmp/.X11-unix/X{number}")).unwrap();
        // Little-endian, version 11.0, no authorization.
        stream
            .write_all(&[b'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .unwrap();
        let head = read(&mut stream, 8);
        assert_eq!(head[0], 1, "the display refuses");
        let rest = read(&mut stream, u16_at(&head, 6) as usize * 4);
        // Behind the fixed part: the maker's name, formats of 8 bytes, the screens.
        let name = (u16_at(&rest, 16) as usize).next_multiple_of(4);
        let root = u32_at(&rest, 32 + name + rest[21] as usize * 8);
        X11 { stream, root }
    }

    fn request(&mut self, operation: u8, detail: u8, body: &[u8]) {
        let words = (4 + body.len()).div_ceil(4);
        let mut bytes = vec![operation, detail];
        bytes.extend((words as u16).to_le_bytes());
        bytes.extend(body);
        bytes.resize(words * 4, 0);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The answer to the last request; events in between are passed over.
    fn answer(&mut self) -> Vec<u8> {
        loop {
            let mut bytes = read(&mut self.stream, 32);
            assert_ne!(bytes[0], 0, "the display answers with error {}", bytes[1]);
            if bytes[0] == 1 {
                let more = u32_at(&bytes, 4) as usize * 4;
                bytes.extend(read(&mut self.stream, more));
                return bytes;
            }
        }
    }

    fn atom(&mut self, name: &str) -> u32 {
        let mut body = (name.len() as u16).to_le_bytes().to_vec();
        body.extend([0, 0]);
        body.extend(name.as_bytes());
        self.request(16, 0, &body);
        u32_at(&self.answer(), 8)
    }

    fn children(&mut self) -> Vec<u32> {
        self.request(15, 0, &self.root.to_le_bytes());
        let answer = self.answer();
        let count = u16_at(&answer, 16) as usize;
        (0..count).map(|i| u32_at(&answer, 32 + i * 4)).collect()
    }

    fn is_mapped(&mut self, window: u32) -> bool {
        self.request(3, 0, &window.to_le_bytes());
        self.answer()[26] == 2
    }

    /// Windows of programs that can be seen, the lowest first.
    fn visible(&mut self) -> Vec<u32> {
        let protocols = self.atom("WM_PROTOCOLS");
        let windows = self.children().into_iter();
        windows
            .filter(|window| self.is_mapped(*window) && self.has(*window, protocols))
            .collect()
    }

    /// A key goes down and up, as if on the keyboard.
    fn press(&mut self, key: u8) {
        let name = b"XTEST";
        let mut body = (name.len() as u16).to_le_bytes().to_vec();
        body.extend([0, 0]);
        body.extend(name);
        self.request(98, 0, &body);
        let opcode = self.answer()[9];
        const FAKE_INPUT: u8 = 2;
        const KEY_PRESS: u8 = 2;
        const KEY_RELEASE: u8 = 3;
        for kind in [KEY_PRESS, KEY_RELEASE] {
            let mut body = vec![kind, key];
            body.resize(32, 0);
            self.request(opcode, FAKE_INPUT, &body);
        }
        // An answer shows that what came before was taken.
        self.children();
    }

    /// Has the window this property?
    fn has(&mut self, window: u32, property: u32) -> bool {
        let body = [window, property, 0, 0, 1].map(u32::to_le_bytes).concat();
        self.request(20, 0, &body);
        u32_at(&self.answer(), 8) != 0
    }

    /// A message of this kind with one value.
    fn send(&mut self, window: u32, kind: u32, value: u32) {
        let mut body = [window, 0].map(u32::to_le_bytes).concat();
        body.extend([33, 32, 0, 0]);
        body.extend(
            [window, kind, value, 0, 0, 0, 0]
                .map(u32::to_le_bytes)
                .concat(),
        );
        self.request(25, 0, &body);
        // An answer shows that what came before was taken.
        self.children();
    }
}

fn read(stream: &mut UnixStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
