package folders

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/godwit-mail/godwit/mail"
)

// knownNames are the names that mail programs and servers (Outlook and
// Exchange, Apple Mail, Thunderbird, Gmail, Roundcube, cPanel, Zimbra, …) give
// the mailboxes of each use, a line a language. Case, accents, spaces and
// hyphens do not matter. A word that means one thing to one program and
// another to the next is in none: Chinese 垃圾箱 is trash here, junk there.
var knownNames = map[mail.Role]string{
	mail.RoleSent: `
		Sent; Sent Items; Sent Mail; Sent Messages; Sent-Mail; Sent Email; Sent E-mail; Sent Objects
		Gesendet; Gesendete Elemente; Gesendete Objekte; Gesendete Nachrichten; Gesendete Mails; Gesendete E-Mails
		Envoyés; Éléments envoyés; Messages envoyés; Objets envoyés; Courrier envoyé; Envoyé; Courriers envoyés
		Enviados; Elementos enviados; Correo enviado; Mensajes enviados; Enviado
		Itens enviados; Mensagens enviadas; E-mails enviados; Enviadas; Correio enviado; E-mail enviado; Enviada
		Posta inviata; Inviati; Inviata; Elementi inviati; Messaggi inviati
		Verzonden; Verzonden items; Verzonden berichten; Verzonden e-mail; Verstuurd
		Skickat; Skickade; Skickade objekt; Skickade meddelanden; Skickat brev
		Sendt; Sendt post; Sendte elementer; Sendte e-mails; Sendte meddelelser; Sendt e-post; Sendte meldinger; Sendte
		Lähetetyt; Lähetetyt viestit; Lähetetyt kohteet; Lähetetty
		Wysłane; Elementy wysłane; Wiadomości wysłane; Poczta wysłana
		Odeslaná pošta; Odeslané; Odeslané zprávy; Odeslané položky
		Odoslaná pošta; Odoslané; Odoslané položky; Odoslané správy
		Elküldött; Elküldött elemek; Elküldött üzenetek; Elküldött levelek
		Trimise; Elemente trimise; Mesaje trimise; Mesaje expediate
		Отправленные; Отправленные элементы; Отправленные письма
		Надіслані; Надіслані елементи; Відправлені; Надіслані листи
		Изпратени; Изпратени елементи; Изпратена поща; Изпратени писма
		Gönderilmiş Öğeler; Gönderilmiş Postalar; Gönderilenler; Gönderilen; Gönderilmiş; Gönderildi
		Απεσταλμένα; Απεσταλμένα στοιχεία; Σταλμένα
		Poslano; Poslane stavke; Poslana pošta; Poslane poruke; Poslato; Poslata pošta; Послато; Послате ставке
		Poslani elementi; Poslana sporočila
		Saadetud; Saadetud üksused; Saadetud kirjad
		Nosūtītie; Nosūtītās; Nosūtītie vienumi; Nosūtītie elementi
		Išsiųsta; Išsiųsti; Išsiųsti elementai; Išsiųsti laiškai
		Enviats; Elements enviats; Missatges enviats
		送信済み; 送信済みアイテム; 送信済みメール; 送信済みトレイ; 送信済みメッセージ
		已发送; 已发送邮件; 已发邮件; 已傳送; 已发送的邮件; 寄件備份; 寄件备份; 已傳送郵件; 已寄出; 已寄出郵件; 寄件備份匣
		보낸 편지함; 보낸편지함; 보낸 메일함; 보낸 항목; 보낸 메일; 보낸메시지
		المرسل; البريد المرسل; العناصر المرسلة; الرسائل المرسلة; المرسلة; بريد مرسل
		נשלח; דואר שנשלח; פריטים שנשלחו; הודעות שנשלחו; נשלחו
		ارسال شده; ارسالشده; پیامهای ارسالی; فرستاده شده
		ส่งแล้ว; จดหมายที่ส่งแล้ว; รายการที่ถูกส่ง; ข้อความที่ส่ง; รายการที่ส่ง
		Đã gửi; Thư đã gửi; Mục đã gửi
		Terkirim; Item terkirim; Pesan terkirim; Surat terkirim
		भेजे गए; भेजी गई मेल; भेजे गए आइटम; भेजा गया`,
	mail.RoleDrafts: `
		Drafts; Draft; Draft Messages
		Entwürfe; Entwuerfe; Entwurf
		Brouillons; Brouillon
		Borradores; Borrador
		Rascunhos; Rascunho
		Bozze; Bozza
		Concepten; Concept; Klad
		Utkast; Kladd
		Kladder; Kladde
		Luonnokset; Luonnos
		Kopie robocze; Wersje robocze; Szkice; Robocze
		Koncepty; Rozepsané; Rozpracované
		Rozpísané
		Piszkozatok; Piszkozat
		Ciorne; Schițe; Mesaje nefinalizate
		Черновики; Черновик
		Чернетки
		Чернови
		Taslaklar; Taslak
		Πρόχειρα
		Skice; Nacrti; Nedovršeno; Nacrt; Нацрти; Недовршено
		Osnutki
		Mustandid
		Melnraksti
		Juodraščiai
		Esborranys
		下書き; ドラフト
		草稿; 草稿箱; 草稿匣; 草稿夹
		임시 보관함; 임시보관함; 초안; 임시 보관 메일
		المسودات; مسودات; مسودة
		טיוטות
		پیشنویسها; پیشنویس; پیش نویس ها
		แบบร่าง; จดหมายร่าง; ร่าง; ร่างจดหมาย
		Thư nháp; Bản nháp; Nháp
		Draf; Konsep
		ड्राफ़्ट; ड्राफ्ट्स; ड्राफ्ट`,
	mail.RoleTrash: `
		Trash; Deleted Items; Deleted Messages; Deleted; Bin; Trash Can; Recycle Bin; Wastebasket
		Papierkorb; Gelöschte Elemente; Geloeschte Elemente; Gelöscht; Gelöschte Objekte; Gelöschte Nachrichten; Mülleimer
		Corbeille; Éléments supprimés; Supprimés; Messages supprimés; Poubelle
		Papelera; Elementos eliminados; Eliminados; Papelera de reciclaje; Mensajes eliminados
		Lixeira; Lixo; Itens excluídos; Itens eliminados; Excluídos; Mensagens excluídas; Reciclagem
		Cestino; Posta eliminata; Eliminati; Elementi eliminati; Messaggi eliminati
		Prullenbak; Prullenmand; Verwijderde items; Verwijderd; Verwijderde berichten
		Papperskorgen; Papperskorg; Borttaget; Borttagna objekt; Borttagna; Borttagna meddelanden
		Papirkurv; Papirkurven; Slettet post; Slettede elementer; Slettede meddelelser; Slettet; Søppelbøtte; Slettede
		Roskakori; Poistetut; Poistetut kohteet; Poistetut viestit
		Kosz; Elementy usunięte; Usunięte; Kosz na śmieci; Wiadomości usunięte
		Koš; Odstraněná pošta; Odstraněné; Odstraněné položky; Smazané
		Kôš; Odstránené; Odstránené položky; Zmazané; Vymazané
		Kuka; Lomtár; Törölt elemek; Törölt; Törölt üzenetek
		Coș de gunoi; Gunoi; Elemente șterse; Șterse; Mesaje șterse; Coș
		Корзина; Удаленные; Удалённые; Удаленные элементы
		Кошик; Видалені; Видалені елементи; Смітник
		Кошче; Изтрити; Изтрити елементи; Кош
		Çöp Kutusu; Çöp; Silinmiş Öğeler; Silinmiş; Silinenler; Silinen; Çöp sepeti
		Κάδος απορριμμάτων; Διαγραμμένα; Διαγραμμένα στοιχεία; Απορρίμματα; Κάδος
		Smeće; Otpad; Izbrisane stavke; Izbrisano; Obrisano; Kanta za smeće; Отпад; Избрисане ставке; Смеће
		Smeti; Izbrisani elementi
		Prügikast; Kustutatud; Kustutatud üksused
		Miskaste; Atkritne; Izdzēstie; Dzēstie vienumi; Izdzēstie vienumi
		Šiukšliadėžė; Šiukšlinė; Šiukšlės; Panaikinti elementai; Ištrinti; Ištrinta
		Paperera; Elements suprimits; Suprimits
		ごみ箱; ゴミ箱; 削除済みアイテム; 削除済み; 削除済みメール; 削除済みメッセージ
		已删除; 已删除邮件; 垃圾桶; 回收站; 废件箱; 已刪除; 已刪除的郵件; 已刪除郵件; 刪除的郵件; 資源回收筒; 回收筒; 回收桶; 已删除的邮件; 刪除郵件; 已刪除項目
		휴지통; 지운 편지함; 삭제된 항목; 지운 메일함; 삭제된 메시지
		المهملات; سلة المهملات; العناصر المحذوفة; المحذوفات; المحذوفة
		אשפה; פריטים שנמחקו; פח אשפה; נמחקו
		زبالهدان; سطل زباله; حذف شده; زباله دان; پاک شده
		ถังขยะ; รายการที่ถูกลบ; รายการที่ลบ; ข้อความที่ลบ
		Thùng rác; Mục đã xóa; Đã xóa; Thư đã xóa
		Sampah; Tong sampah; Item yang dihapus; Kotak sampah; Terhapus
		ट्रैश; हटाए गए आइटम; कचरा; रद्दी`,
	mail.RoleJunk: `
		Junk; Spam; Junk E-mail; Junk Mail; Bulk Mail; Bulk; Junk Messages; Junk Items; Spambox
		Unerwünscht; Unerwünschte Werbung; Unerwünschte Nachrichten; Spamverdacht; Spam-Verdacht
		Courrier indésirable; Indésirables; Indésirable; Pourriel; Pourriels; Messages indésirables
		Correo no deseado; Correo basura; No deseado
		Lixo eletrônico; Lixo eletrónico; Lixo electrónico; Correio não solicitado; E-mail de lixo; Correo lixo
		Posta indesiderata; Indesiderata; Posta spazzatura; Indesiderati
		Ongewenst; Ongewenste e-mail; Ongewenste mail; Ongewenste berichten; Ongewenste reclame
		Skräppost
		Uønsket mail; Uønsket e-mail; Uønsket; Uønsket post; Uønsket e-post; Søppelpost; Junkpost
		Roskaposti
		Wiadomości-śmieci; Wiadomości śmieci; Niechciane; Niechciana poczta
		Nevyžádaná pošta; Nevyžádané; Nevyžádaná
		Nevyžiadaná pošta; Nevyžiadané
		Levélszemét
		Mesaje nedorite; Mesaje nesolicitate; E-mail nedorit; Nedorite; Poștă nedorită
		Спам; Нежелательная почта; Нежелательные
		Небажана пошта; Небажана електронна пошта; Небажані
		Нежелана поща; Нежелани; Нежелана електронна поща
		Önemsiz; Önemsiz E-posta; Gereksiz E-posta; Gereksiz; İstenmeyen; İstenmeyen E-posta; Önemsiz Posta
		Ανεπιθύμητα; Ανεπιθύμητη αλληλογραφία; Ανεπιθύμητη
		Neželjena pošta; Bezvrijedna pošta; Neželjena e-pošta; Нежељена пошта; Непожељно; Neželjene poruke
		Neželena pošta; Nezaželena pošta; Neželeno
		Rämpspost; Rämps
		Mēstules; Surogātpasts; Nevēlamais e-pasts; Nevēlamās
		Brukalas; Nepageidaujami; Nepageidaujamas paštas; Nepageidaujami laiškai; Šlamštas
		Correu brossa; Correu no desitjat
		迷惑メール; スパム
		垃圾邮件; 垃圾郵件; 垃圾信; 垃圾信件; 垃圾信匣; 垃圾信件匣
		스팸; 스팸 메일함; 스팸편지함; 정크 메일; 스팸메일; 스팸 메일; 정크
		البريد غير الهام; البريد غير المرغوب فيه; البريد العشوائي; بريد مزعج; غير مرغوب فيه; رسائل غير مرغوب فيها; البريد المزعج
		דואר זבל; ספאם; זבל
		هرزنامه; اسپم; هرزنامهها
		จดหมายขยะ; สแปม; อีเมลขยะ; เมลขยะ
		Thư rác; Email rác
		Email sampah; Surat sampah; Surel sampah
		जंक ईमेल; स्पैम; जंक`,
	mail.RoleArchive: `
		Archive; Archives; Archived; Archived Mail
		Archiv; Archivierte Elemente; Archiviert
		Archivé; Archivés
		Archivo; Archivados; Archivado
		Arquivo; Arquivados; Arquivo morto; Arquivar
		Archivio; Archiviati; Archiviata
		Archief; Gearchiveerd
		Arkiv; Arkiverat; Arkiveret; Arkivert
		Arkisto; Arkistoidut
		Archiwum; Zarchiwizowane
		Archív
		Archívum
		Arhivă; Arhivate
		Архив
		Архів
		Arşiv
		Αρχειοθήκη; Αρχείο; Αρχειοθετημένα
		Arhiva; Архива
		Arhiv
		Arhiiv
		Arhīvs
		Archyvas
		Arxiu; Arxivats
		アーカイブ; 保存済み
		归档; 存档; 封存; 歸檔; 存檔; 归档邮件; 存档邮件
		보관; 보관함; 아카이브; 보관 메일함
		الأرشيف; أرشيف
		ארכיון
		بایگانی; آرشیو
		เก็บถาวร; ที่เก็บถาวร
		Lưu trữ
		Arsip
		संग्रह; आर्काइव`,
}

// words turns the lists into a table by folded name.
func words() map[string]mail.Role {
	table := map[string]mail.Role{}
	for role, text := range knownNames {
		for _, name := range strings.FieldsFunc(text, func(c rune) bool { return c == ';' || c == '\n' }) {
			if name = folded(name); name != "" {
				table[name] = role
			}
		}
	}
	return table
}

// letters that no decomposition turns into a plain one and a mark.
var letters = strings.NewReplacer("ß", "ss", "ø", "o", "æ", "ae", "œ", "oe", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "ı", "i")

// folded is the same for names that differ by case, accents, spaces and
// punctuation only.
func folded(name string) string {
	lower := letters.Replace(strings.ToLower(norm.NFKD.String(strings.ToLower(name))))
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return c
		}
		return -1
	}, lower)
}

// known gives the use that a name tells: one at the top, below INBOX or in one
// of Gmail's trees.
func known(table map[string]mail.Role, name mail.MailboxName) mail.Role {
	parent := name.Parent()
	if parent != "" && parent != mail.Inbox && !hasFold(gmailTrees, string(parent)) {
		return mail.RoleNone
	}
	return table[folded(name.Base())]
}
