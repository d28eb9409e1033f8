//! What a manager does in the card: the same acts as on the settings page and at the console, noted
//! under the client's name.

use serde::Serialize;
use shared::store::audit::Who;
use shared::store::replays::Replay;

use crate::callbacks::Sentence;
use crate::settings_page::texts::Texts;
use crate::widget::words::Word;
use crate::widget::{Call, Stop, UNKNOWN};

/// What is said of an act.
#[derive(Serialize)]
pub(super) struct Done {
    said: &'static str,
}

impl Call<'_> {
    /// «Повторить». A letter is tried again once: then it is closed, and a repeat finds it so.
    pub(super) async fn retry(&self) -> Result<Done, Stop> {
        let store = &self.state.0.store;
        let letter = self.payload.letter.ok_or(Sentence::NoInput)?;
        let dead = store.dead_letter(letter).await?.filter(|dead| dead.integration == Some(self.integration));
        let dead = dead.ok_or(UNKNOWN)?;
        let who = Who::manager(self.integration);
        let done = store.replay_dead_letter(&dead, store.clock.now(), "replayed by the shop's manager", &who).await?;
        let t = Texts::of(self.language);
        Ok(Done { said: if done == Replay::Done { t.replayed } else { t.not_replayed } })
    }

    /// «Спросить курьера»: once for what the card showed.
    pub(super) async fn ask(&self) -> Result<Done, Stop> {
        let store = &self.state.0.store;
        let seen = self.payload.seen.ok_or(Sentence::NoInput)?;
        let delivery = store.delivery_by_order(self.integration, self.payload.order()?).await?.ok_or(UNKNOWN)?;
        let who = Who::manager(self.integration);
        let word = if store.ask_courier(&delivery, seen, &who).await? { Word::Asked } else { Word::AskedBefore };
        Ok(Done { said: word.text(self.language) })
    }
}
