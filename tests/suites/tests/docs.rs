//! The documents name files that exist.

use std::path::{Path, PathBuf};

use shared::domain::{Fault, Language};
use shared::explain;
use shared::explain::measoft as words;
use shared::reason::{self, Explanation};
use simulators::retailcrm::TriggerKind;
use suites::root;

/// Texts in backticks that look like a path, and targets of links.
fn paths_in(text: &str) -> Vec<String> {
    let ticked = text.split('`').skip(1).step_by(2);
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    ticked
        .chain(linked)
        .filter(|p| p.contains('/') && !p.contains(' ') && !p.contains("://") && !p.starts_with('-'))
        .filter(|p| p.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_path_a_document_names_exists() {
    let mut checked = 0;
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "DECISIONS.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect(document);
        for path in paths_in(&text) {
            // Made by a build, or an address of the product.
            if path.starts_with("target") || path.starts_with('/') {
                continue;
            }
            let path = path.trim_start_matches("./");
            assert!(root().join(path).exists(), "{document} names {path}, which does not exist");
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} paths were found: the reader of documents is broken");
}

/// Every file of Rust below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
            sources(&entry, found);
        } else if name.ends_with(".rs") {
            found.push(entry);
        }
    }
}

#[test]
fn every_section_of_a_protocol_that_code_cites_exists() {
    let (mut files, mut cited) = (Vec::new(), 0);
    sources(root(), &mut files);
    for vendor in ["measoft", "retailcrm"] {
        let page = format!("protocols/{vendor}.md");
        let text = std::fs::read_to_string(root().join("shared").join(&page)).expect("the protocol");
        let sections: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')).collect();
        let cite = format!("{page}#");
        for file in &files {
            let code = std::fs::read_to_string(file).expect("text");
            for rest in code.split(cite.as_str()).skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(rest.len());
                let (section, file) = (&rest[..end], file.display());
                assert!(
                    section.is_empty() || sections.contains(&section),
                    "{file} cites {page}#{section}: no such section"
                );
                cited += 1;
            }
        }
    }
    assert!(cited > 150, "only {cited} citations were found");
}

#[test]
fn the_exit_codes_in_the_documents_are_those_the_programs_tell() {
    let text = std::fs::read_to_string(root().join("deploy/README.md")).expect("deploy/README.md");
    // However the page's lines are broken.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(shared::arguments::EXIT_CODES), "{}", shared::arguments::EXIT_CODES);
}

/// The tables of reasons a manager can meet, as the manager's documents have them.
fn reasons(language: Language) -> String {
    let ru = language == Language::Ru;
    let word = |russian: &'static str, english: &'static str| if ru { russian } else { english };
    let mut text = String::new();
    let mut table = |heading: &str, rows: Vec<Explanation>| {
        let (message, step) = (word("Сообщение", "Message"), word("Что делать", "What to do"));
        text.push_str(&format!("\n### {heading}\n\n| {message} | {step} |\n|---|---|\n"));
        for row in rows {
            text.push_str(&format!("| {} | {} |\n", row.text, row.next_step));
        }
    };
    for (fault, heading) in [
        (Fault::Shop, word("Исправляет магазин", "The shop mends it")),
        (Fault::Courier, word("Дело курьерской службы", "The courier service's matter")),
        (Fault::Crm, word("Дело RetailCRM", "RetailCRM's matter")),
        (Fault::Bridge, word("Дело администратора интеграции", "The operator's matter")),
    ] {
        let rows = reason::OURS.iter().filter(|(_, of, ..)| *of == fault);
        table(heading, rows.map(|(_, _, ru_words, en_words)| if ru { *ru_words } else { *en_words }).collect());
    }
    let refusals = words::reasons().map(|label| explain::reason(label, language)).collect();
    table(
        word("Отказы MeaSoft (её собственный текст стоит рядом)", "MeaSoft's refusals (its own words stand beside)"),
        refusals,
    );
    text.push('\n');
    text
}

const MANAGER: [(&str, Language); 2] =
    [("deploy/manager/README.ru.md", Language::Ru), ("deploy/manager/README.en.md", Language::En)];

#[test]
fn the_manager_s_documents_explain_every_reason_in_the_product_s_words() {
    for (document, language) in MANAGER {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).expect(document);
        let (before, rest) = text.split_once("<!-- reasons -->\n").expect("the tables' beginning");
        let (tables, after) = rest.split_once("<!-- /reasons -->").expect("the tables' end");
        let wanted = reasons(language);
        if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
            let text = format!("{before}<!-- reasons -->\n{wanted}<!-- /reasons -->{after}");
            std::fs::write(&path, text).expect("the document can be written");
            continue;
        }
        assert!(tables == wanted, "{document}: run this test with UPDATE_DOCUMENTS=1 to bring its tables up to date");
    }
}

#[test]
fn the_manager_s_documents_name_the_page_s_labels_and_the_product_s_addresses() {
    let sources =
        ["ingress/src/settings_page/texts.rs"].map(|path| std::fs::read_to_string(root().join(path)).expect(path));
    let labels = sources.concat();
    for (document, language) in MANAGER {
        let text = std::fs::read_to_string(root().join(document)).expect(document);
        let bold: Vec<&str> = text.split("**").skip(1).step_by(2).filter(|label| !label.contains('`')).collect();
        assert!(bold.len() > 30, "{document}: the reader of labels is broken");
        for label in bold.iter().filter(|label| !["жирным", "bold"].contains(label)) {
            assert!(labels.contains(&format!("\"{label}\"")), "{document}: the page has no «{label}»");
        }
        let extended =
            if language == Language::Ru { "Расширенное условие" } else { "Extended condition" };
        assert!(bold.contains(&extended), "{document} does not say when the usual condition is not enough");
        for kind in [TriggerKind::Send, TriggerKind::Update, TriggerKind::Cancel] {
            assert!(text.contains(&format!("`BRIDGE{}`", kind.path())), "{document}: {}", kind.path());
        }
    }
}
