//! Builds small ELF files in memory: headers and a dynamic section, no code.

/// What an ELF file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Elf {
    pub(crate) interpreter: Option<&'static str>,
    pub(crate) needed: Vec<&'static str>,
    pub(crate) soname: Option<&'static str>,
    pub(crate) run_path: Option<&'static str>,
    /// `e_machine`; that of amd64 if it is 0.
    pub(crate) machine: u16,
}

const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

impl Elf {
    /// Returns a library with this name.
    pub(crate) fn library(soname: &'static str) -> Self {
        Self { soname: Some(soname), ..Self::default() }
    }

    /// Returns a program that needs these libraries.
    pub(crate) fn program(needed: &[&'static str]) -> Self {
        Self { interpreter: Some("/lib64/ld-linux-x86-64.so.2"), needed: needed.to_vec(), ..Self::default() }
    }

    /// Returns the file.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut text = |text: &str| {
            let offset = strings.len() as u64;
            strings.extend(text.bytes().chain([0]));
            offset
        };
        let mut rows: Vec<(u64, u64)> = self.needed.iter().map(|name| (1, text(name))).collect();
        rows.extend(self.soname.map(|name| (14, text(name))));
        rows.extend(self.run_path.map(|path| (29, text(path))));
        let interpreter = self.interpreter.map(|path| (text(path), path.len() as u64 + 1));

        // header, three program headers, strings, dynamic section
        let strings_at = 64 + 3 * 56;
        let dynamic_at = strings_at + strings.len() as u64;
        rows.extend([(5, strings_at), (0, 0)]);
        let length = dynamic_at + 16 * rows.len() as u64;

        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(3_u16.to_le_bytes());
        bytes.extend(if self.machine == 0 { 62 } else { self.machine }.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        for offset in [0, 64, 0_u64] {
            bytes.extend(offset.to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        for field in [64_u16, 56, 3, 64, 0, 0] {
            bytes.extend(field.to_le_bytes());
        }

        let (path_at, path_length) = interpreter.unwrap_or_default();
        let interpreter_type = if interpreter.is_some() { INTERPRETER } else { 0 };
        let segments = [
            (1, 0, length),
            (DYNAMIC, dynamic_at, 16 * rows.len() as u64),
            (interpreter_type, strings_at + path_at, path_length),
        ];
        for (kind, offset, size) in segments {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(4_u32.to_le_bytes());
            for field in [offset, offset, offset, size, size, 8] {
                bytes.extend(field.to_le_bytes());
            }
        }
        bytes.extend(strings);
        for (tag, value) in rows {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }
}
